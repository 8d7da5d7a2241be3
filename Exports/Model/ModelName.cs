using System.Text.RegularExpressions;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>Names of destinations and batch exports: they stand in object keys and on command lines.</summary>
public static partial class ModelName
{
    /// <summary>Throws when a name is not 1 to 100 letters, digits, dots, dashes and underscores, beginning with a letter or digit.</summary>
    /// <param name="setting">The setting that it is the value of.</param>
    /// <param name="name">The name.</param>
    /// <exception cref="UserErrorException">It is not.</exception>
    public static void Check(string setting, string name)
    {
        if (!Pattern().IsMatch(name))
        {
            throw new UserErrorException(
                setting,
                $"\"{name}\" cannot be a name.",
                "Use 1 to 100 letters, digits, dots, dashes and underscores, beginning with a letter or a digit.");
        }
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\z")]
    private static partial Regex Pattern();
}

using System.Globalization;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Exporter.Exports.Cli;

/// <summary>
/// A destination in a YAML file: <c>kind</c>, <c>name</c>, and the kind's settings by their names. A secret stands there itself, or as
/// <c>NAME_env</c> or <c>NAME_file</c> the variable or file that holds it.
/// </summary>
internal static class DestinationFile
{
    /// <summary>Reads a destination; what the kind asks of it is checked later.</summary>
    /// <exception cref="UserErrorException">The file cannot be read, or has something that the kind does not know.</exception>
    public static Destination Read(string path) => DestinationDocument.Of(Values(path), path, references: true);

    private static Dictionary<string, string> Values(string path)
    {
        try
        {
            var text = path == "-" ? Console.In.ReadToEnd() : File.ReadAllText(path);
            return new DeserializerBuilder().Build().Deserialize<Dictionary<string, string>?>(text) ?? [];
        }
        catch (YamlException error)
        {
            throw new UserErrorException(
                "file",
                string.Create(CultureInfo.InvariantCulture, $"{path} is not a list of settings: line {error.Start.Line} is wrong."),
                "Write one \"name: value\" a line.",
                error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException("file", $"{path} cannot be read: {error.Message}", "Correct its path or its permissions.", error);
        }
    }
}

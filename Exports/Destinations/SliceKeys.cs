using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>
/// Where things lie below a destination's root: <c>{prefix}/{export}/{interval}/slice-00000.parquet</c>. Derived from export,
/// interval and slice alone, so that a repeat lands on the same key; always with forward slashes. A prefix may have places such as
/// <c>{year}</c>; whatever it has, each interval of each export has a folder of its own.
/// </summary>
internal sealed partial class SliceKeys
{
    /// <summary>What a prefix may have, for the settings' descriptions.</summary>
    public const string Places = "{export}, {table}, {interval}, {interval_start}, {interval_end}, {year}, {month}, {day}, {hour}";

    private const int LongestPrefix = 500;
    private const int LongestName = 150;
    private const string SliceStart = "slice-";
    private readonly string _template;
    private readonly string _start;
    private readonly string _extension;

    /// <summary>Makes the keys below a prefix.</summary>
    /// <param name="setting">The setting that the prefix is the value of.</param>
    /// <param name="prefix">Folders, or none; slashes at both ends do not matter.</param>
    /// <param name="extension">The files' ending with its dot.</param>
    /// <exception cref="UserErrorException">The prefix is too long, has a place that is not known, or a folder of it is empty, a dot, two dots, or
    /// has a control character.</exception>
    public SliceKeys(string setting, string prefix, string extension)
    {
        var trimmed = prefix.Trim('/');
        if (trimmed.Length > LongestPrefix)
        {
            throw new UserErrorException(setting, $"The prefix has {trimmed.Length} characters.", $"Use {LongestPrefix} at most.");
        }

        var folders = trimmed.Length == 0 ? [] : trimmed.Split('/');
        if (folders.Any(folder => folder is "" or "." or ".." || folder.Any(letter => char.IsControl(letter) || letter == '\\')))
        {
            throw new UserErrorException(
                setting, "The prefix has a folder that is empty, a dot, two dots, or has a backslash or a control character.", "Use names separated by single slashes, such as team/exports.");
        }

        if (Place().Replace(trimmed, "").IndexOfAny(['{', '}']) >= 0)
        {
            throw new UserErrorException(setting, $"The prefix \"{trimmed}\" has a place that is not known.", $"The places are {Places}.");
        }

        _template = trimmed.Length == 0 ? "" : trimmed + "/";
        if (!_template.Contains("{export}", StringComparison.Ordinal))
        {
            _template += "{export}/";
        }

        if (!_template.Contains("{interval}", StringComparison.Ordinal)
            && !(_template.Contains("{interval_start}", StringComparison.Ordinal) && _template.Contains("{interval_end}", StringComparison.Ordinal)))
        {
            _template += "{interval}/";
        }

        _start = _template[..(_template[.._template.IndexOf('{', StringComparison.Ordinal)].LastIndexOf('/') + 1)];
        _extension = extension;
    }

    /// <summary>The folders that all keys have in common, with a slash at their end, or nothing.</summary>
    public string Start => _start;

    /// <summary>The folder of one interval of one export, with a slash at its end.</summary>
    public string Folder(string export, DataInterval interval, string table = "") => Place().Replace(_template, place => place.Groups["name"].Value switch
    {
        "export" => NameOf(export),
        "table" => NameOf(table),
        "interval" => interval.ToKey(),
        "interval_start" => DataInterval.Key(interval.Start),
        "interval_end" => DataInterval.Key(interval.End),
        "year" => interval.Start.ToString("yyyy", CultureInfo.InvariantCulture),
        "month" => interval.Start.ToString("MM", CultureInfo.InvariantCulture),
        "day" => interval.Start.ToString("dd", CultureInfo.InvariantCulture),
        _ => interval.Start.ToString("HH", CultureInfo.InvariantCulture),
    });

    /// <summary>The file of a slice.</summary>
    public string Slice(SliceAddress address) => Folder(address.Export, address.Interval, address.Table) + SliceName(address.Slice);

    /// <summary>The manifest of one interval of one export.</summary>
    public string Manifest(string export, DataInterval interval, string table = "") => Folder(export, interval, table) + ManifestDocument.FileName;

    /// <summary>The last part of a slice's key.</summary>
    public string SliceName(int slice) => string.Create(CultureInfo.InvariantCulture, $"{SliceStart}{slice:D5}{_extension}");

    /// <summary>Whether the last part of a key is one that a slice of any format could have; nothing else is ever removed.</summary>
    public static bool IsSliceName(string name)
    {
        if (!name.StartsWith(SliceStart, StringComparison.Ordinal))
        {
            return false;
        }

        var dot = name.IndexOf('.', StringComparison.Ordinal);
        return dot > SliceStart.Length && name.AsSpan(SliceStart.Length, dot - SliceStart.Length).IndexOfAnyExceptInRange('0', '9') < 0;
    }

    // Letters, digits, dashes, underscores, and dots behind the first letter stand for themselves; any other byte becomes
    // !XX, so that no name leaves its folder and no two names share one. A very long name ends in its hash.
    private static string NameOf(string export)
    {
        var name = new StringBuilder();
        foreach (var value in Encoding.UTF8.GetBytes(export))
        {
            var letter = (char)value;
            if (char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' || (letter == '.' && name.Length > 0))
            {
                name.Append(letter);
            }
            else
            {
                name.Append(CultureInfo.InvariantCulture, $"!{value:X2}");
            }
        }

        if (name.Length is > 0 and <= LongestName)
        {
            return name.ToString();
        }

        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(export)));
        return $"{name.ToString(0, Math.Min(name.Length, LongestName - hash.Length))}!{hash}";
    }

    [GeneratedRegex(@"\{(?<name>export|table|interval|interval_start|interval_end|year|month|day|hour)\}")]
    private static partial Regex Place();
}

using System.Globalization;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Destinations.Files;

/// <summary>Names of files being written: hidden, in the folder of the file that they become, with the attempt that writes them.</summary>
internal static partial class TemporaryName
{
    /// <summary>Any temporary name of this program.</summary>
    public static bool Is(string name) => AnySlice().IsMatch(name) || AnyManifest().IsMatch(name);

    /// <summary>A slice's, never the same twice: two runs of one interval may have equal attempts and tokens.</summary>
    public static string OfSlice(SliceAddress address) =>
        string.Create(CultureInfo.InvariantCulture, $".slice-{address.Slice:D5}.{address.Attempt}-{address.FencingToken}.{Guid.NewGuid():N}.tmp");

    /// <summary>A manifest's.</summary>
    public static string OfManifest() => $".manifest.{Guid.NewGuid():N}.tmp";

    /// <summary>Whether a name is of the same slice and an older attempt, which may not commit any more.</summary>
    public static bool IsOlder(string name, SliceAddress address)
    {
        var parts = AnySlice().Match(name);
        if (!parts.Success
            || !int.TryParse(parts.Groups["slice"].ValueSpan, CultureInfo.InvariantCulture, out var slice) || slice != address.Slice
            || !int.TryParse(parts.Groups["attempt"].ValueSpan, CultureInfo.InvariantCulture, out var attempt)
            || !long.TryParse(parts.Groups["token"].ValueSpan, CultureInfo.InvariantCulture, out var token))
        {
            return false;
        }

        return (token, attempt).CompareTo((address.FencingToken, address.Attempt)) < 0;
    }

    [GeneratedRegex(@"^\.slice-(?<slice>[0-9]+)\.(?<attempt>[0-9]+)-(?<token>[0-9]+)\.[0-9a-f]{32}\.tmp\z")]
    private static partial Regex AnySlice();

    [GeneratedRegex(@"^\.manifest\.[0-9a-f]{32}\.tmp\z")]
    private static partial Regex AnyManifest();
}

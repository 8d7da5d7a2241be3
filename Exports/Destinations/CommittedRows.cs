using System.Globalization;

namespace Exporter.Exports.Destinations;

/// <summary>What a destination's own table of commits says of a run, beside what was committed.</summary>
internal static class CommittedRows
{
    private const string TableSetting = "table";

    /// <summary>Throws when a slice is not there with its rows.</summary>
    /// <param name="manifest">What was committed.</param>
    /// <param name="rowsOf">The rows of a slice by the table of commits; null when it is not there.</param>
    /// <param name="target">The table that rows went to, for people.</param>
    /// <param name="commits">The table of commits.</param>
    /// <exception cref="UserErrorException">One is not.</exception>
    public static void Compare(RunManifest manifest, Func<int, long?> rowsOf, string target, string commits)
    {
        foreach (var slice in manifest.Slices)
        {
            var found = rowsOf(slice.Slice);
            if (found != slice.Rows)
            {
                var now = found is null ? "is not there" : string.Create(CultureInfo.InvariantCulture, $"has {found} rows");
                throw new UserErrorException(
                    TableSetting,
                    string.Create(CultureInfo.InvariantCulture, $"Slice {slice.Slice} was committed with {slice.Rows} rows to {target}, and by {commits} it {now}."),
                    $"See that nothing else writes to {commits}, then export the interval again.");
            }
        }
    }
}

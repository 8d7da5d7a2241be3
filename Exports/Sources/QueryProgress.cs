using System.Globalization;

namespace Exporter.Exports.Sources;

/// <summary>How far a query is on the server, as <c>system.processes</c> has it; a user sees its own queries there.</summary>
/// <param name="QueryId">The query.</param>
/// <param name="ReadRows">Rows that it has read from its tables so far.</param>
/// <param name="ReadBytes">Bytes of them, uncompressed.</param>
/// <param name="TotalRows">About how many rows it has to read; 0 when it is not known.</param>
/// <param name="MemoryUsage">Bytes of memory that it holds.</param>
/// <param name="Elapsed">For how long it has run.</param>
internal sealed record QueryProgress(string QueryId, long ReadRows, long ReadBytes, long TotalRows, long MemoryUsage, TimeSpan Elapsed)
{
    private const string Select =
        "SELECT query_id, toInt64(read_rows), toInt64(read_bytes), toInt64(total_rows_approx), toInt64(memory_usage), elapsed FROM system.processes";

    public static SourceQuery Of(string queryId) => Query("query_id = {id:String}", queryId);

    public static SourceQuery OfAll(string prefix) => Query("startsWith(query_id, {id:String})", prefix);

    public static IEnumerable<QueryProgress> Read(IEnumerable<string[]> rows) => rows.Select(row => new QueryProgress(
        row[0], Number(row[1]), Number(row[2]), Number(row[3]), Number(row[4]), TimeSpan.FromSeconds(double.Parse(row[5], CultureInfo.InvariantCulture))));

    private static SourceQuery Query(string condition, string id) =>
        new($"{Select} WHERE {condition} ORDER BY query_id", new Dictionary<string, string> { ["id"] = SourceQuery.Text(id) });

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}

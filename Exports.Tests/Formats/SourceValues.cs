using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Formats;

/// <summary>Values of a real ClickHouse as the pipeline reads them: a column <c>c0</c>, <c>c1</c> and so on for each expression.</summary>
internal sealed class SourceValues : IDisposable
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private SourceValues(LocalClickHouse server, IReadOnlyList<DescribedColumn> columns, IReadOnlyList<RecordBatch> batches) =>
        (Server, Columns, Batches) = (server, columns, batches);

    public LocalClickHouse Server { get; }

    /// <summary>The expressions with their types in ClickHouse.</summary>
    public IReadOnlyList<DescribedColumn> Columns { get; }

    public IReadOnlyList<RecordBatch> Batches { get; }

    public static string Name(int column) => string.Create(CultureInfo.InvariantCulture, $"c{column}");

    /// <summary>One row of constants.</summary>
    public static async Task<SourceValues> OneRowAsync(IReadOnlyList<string> expressions, bool nested = true)
    {
        var (server, connection) = await DatabaseAsync();
        var table = $"{Database(connection)}.t";
        await server.ExecuteAsync($"CREATE TABLE {table} (at DateTime('UTC')) ENGINE = MergeTree ORDER BY at");
        await server.ExecuteAsync($"INSERT INTO {table} VALUES ('2026-01-01 00:00:00')");
        return await ReadAsync(server, connection, [.. expressions.Select((expression, at) => new SourceColumn(expression, Name(at)))], nested);
    }

    /// <summary>Random rows of a structure such as <c>c0 String, c1 Array(UInt8)</c>; the table they come from is <c>t</c> of the answer's database.</summary>
    public static async Task<(SourceValues Values, string Table)> RandomAsync(string structure, int rows)
    {
        var (server, connection) = await DatabaseAsync();
        var table = $"{Database(connection)}.t";
        await server.ExecuteAsync($"CREATE TABLE {table} (at DateTime64(3, 'UTC'), {structure}) ENGINE = MergeTree ORDER BY at");
        await server.ExecuteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"INSERT INTO {table} SELECT toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(rowNumberInAllBlocks()), * FROM generateRandom('{structure.Replace("'", "\\'", StringComparison.Ordinal)}', 7, 12, 5) LIMIT {rows}"));
        return (await ReadAsync(server, connection, [], nested: true), table);
    }

    public void Dispose()
    {
        foreach (var batch in Batches)
        {
            batch.Dispose();
        }
    }

    private static async Task<(LocalClickHouse Server, string Connection)> DatabaseAsync()
    {
        var server = await TestServers.ClickHouseAsync();
        return (server, await server.CreateDatabaseAsync());
    }

    private static string Database(string connection) => connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];

    private static async Task<SourceValues> ReadAsync(LocalClickHouse server, string connection, IReadOnlyList<SourceColumn> columns, bool nested)
    {
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        var model = new SourceModel { Table = "t", CursorColumn = "at", Columns = columns };
        var slice = new Slice { Number = 0, Range = new DataInterval(Start, Start.AddDays(1)), ExpectedRows = 1 };
        var described = await source.DescribeAsync(model, default);
        await using var reader = await source.ReadAsync(
            QueryBuilder.Rows(model, described, slice, nested: nested), Guid.NewGuid().ToString(), "types", default);
        var batches = new List<RecordBatch>();
        while (await reader.NextAsync(default) is { } batch)
        {
            batches.Add(batch);
        }

        return new SourceValues(server, described, batches);
    }
}

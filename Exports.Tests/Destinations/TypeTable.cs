using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>A line of the table of types in a destination's page: ClickHouse type, example, type there, value as text.</summary>
internal sealed record TypeRow(string ClickHouse, string Example, string Type, string? Value)
{
    public static TypeRow Parse(string line)
    {
        var cells = line.Split('|', StringSplitOptions.TrimEntries)[1..^1];
        return new TypeRow(cells[0], Code(cells[1]), cells[2], cells[3] == "null" ? null : Code(cells[3]));
    }

    public override string ToString() => $"| {ClickHouse} | `{Example}` | {Type} | {(Value is null ? "null" : $"`{Value}`")} |";

    private static string Code(string cell) => cell.Trim('`');
}

/// <summary>The table of types in a destination's page, and its values on their way from a real ClickHouse.</summary>
internal static class TypeTable
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    public static string Column(int at) => string.Create(CultureInfo.InvariantCulture, $"c{at}");

    /// <summary>The lines of a page's table.</summary>
    public static async Task<List<TypeRow>> ReadAsync(string page) =>
    [
        .. (await File.ReadAllLinesAsync(PathOf(page))).SkipWhile(line => !line.StartsWith("| ClickHouse |", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(line => line.StartsWith("| `", StringComparison.Ordinal)).Select(TypeRow.Parse),
    ];

    /// <summary>Writes the lines of a page's table anew.</summary>
    public static async Task WriteAsync(string page, IReadOnlyList<TypeRow> rows)
    {
        var lines = (await File.ReadAllLinesAsync(PathOf(page))).ToList();
        var first = lines.FindIndex(line => line.StartsWith("| ClickHouse |", StringComparison.Ordinal)) + 2;
        for (var at = 0; at < rows.Count; at++)
        {
            lines[first + at] = rows[at].ToString();
        }

        await File.WriteAllLinesAsync(PathOf(page), lines);
    }

    /// <summary>Exports one row of all the examples, each a column, to the table types.</summary>
    public static async Task ExportAsync(List<TypeRow> rows, IDestination destination)
    {
        var server = await TestServers.ClickHouseAsync();
        var connection = await server.CreateDatabaseAsync();
        var database = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        await server.ExecuteAsync($"CREATE TABLE {database}.one (at DateTime('UTC')) ENGINE = MergeTree ORDER BY at");
        await server.ExecuteAsync($"INSERT INTO {database}.one VALUES ('2026-01-01 00:00:00')");
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        var model = new SourceModel
        {
            Table = "one", CursorColumn = "at", Columns = [.. rows.Select((row, at) => new SourceColumn(row.Example, Column(at)))],
        };
        var columns = await source.DescribeAsync(model, default);
        var query = QueryBuilder.Rows(model, columns, new Slice { Number = 0, Range = Day, ExpectedRows = 1 });
        await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "types", default);
        await using var sink = await destination.OpenSliceAsync(
            new SliceAddress("types", Day, 0, 1, 1), SourceTypes.On(reader.Schema, columns), default);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                await sink.WriteAsync(batch, default);
            }
        }

        Assert.That((await sink.CommitAsync(default)).Rows, Is.EqualTo(1));
    }

    private static string PathOf(string page) => Repository.PathOf("docs/destinations/" + page);
}

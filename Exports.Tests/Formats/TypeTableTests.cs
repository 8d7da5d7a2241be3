using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;
using ParquetSharp;
using Compression = Exporter.Exports.Model.Compression;
using FileReader = ParquetSharp.Arrow.FileReader;

namespace Exporter.Exports.Tests.Formats;

/// <summary>docs/types.md is a table of promises: each line is a value that goes from a real ClickHouse into both formats.</summary>
public sealed class TypeTableTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Test]
    public async Task Every_type_arrives_as_the_documentation_says()
    {
        var rows = await ReadTableAsync();
        Assert.That(rows, Has.Count.GreaterThan(30));
        var batches = await ReadAsync(rows);
        using var parquet = new MemoryStream(Encode(new FormatOptions(), batches));
        var json = JsonValues(Encode(new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None }, batches), rows.Count);
        var types = ParquetTypes(parquet, rows.Count);

        Assert.Multiple(() =>
        {
            foreach (var (row, at) in rows.Select((row, at) => (row, at)))
            {
                Assert.That(types[at], Is.EqualTo(row.Parquet), $"{row.Example} in Parquet");
                Assert.That(json[at], Is.EqualTo(row.Json), $"{row.Example} in JSON Lines");
            }
        });
    }

    [Test]
    public async Task Parquet_gives_the_same_values_back()
    {
        var rows = await ReadTableAsync();
        var batches = await ReadAsync(rows);
        using var parquet = new MemoryStream(Encode(new FormatOptions(), batches));
        using var reader = new FileReader(parquet);
        using var stream = reader.GetRecordBatchReader();
        using var back = await stream.ReadNextRecordBatchAsync();
        var lines = new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None };

        // Parquet has no seconds: these come back as milliseconds, and the file does not say that a text was no UTF-8.
        var expected = JsonValues(Encode(lines, batches), rows.Count).Select(value => value.Replace(":00Z\"", ":00.000Z\"", StringComparison.Ordinal));
        Assert.That(JsonValues(Encode(lines, [back]), rows.Count), Is.EqualTo(expected));
    }

    private static async Task<List<RecordBatch>> ReadAsync(List<TypeRow> rows)
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
            Table = "one",
            CursorColumn = "at",
            Columns = [.. rows.Select((row, at) => new SourceColumn(row.Example, string.Create(CultureInfo.InvariantCulture, $"c{at}")))],
        };
        var slice = new Slice { Number = 0, Range = new DataInterval(Start, Start.AddDays(1)), ExpectedRows = 1 };
        var query = QueryBuilder.Rows(model, await source.DescribeAsync(model, default), slice);
        await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "types", default);
        var batches = new List<RecordBatch>();
        while (await reader.NextAsync(default) is { } batch)
        {
            batches.Add(batch);
        }

        return batches;
    }

    private static byte[] Encode(FormatOptions options, IReadOnlyList<RecordBatch> batches)
    {
        using var output = new MemoryStream();
        using (var encoder = EncoderFactory.Create(options, batches[0].Schema, output))
        {
            foreach (var batch in batches)
            {
                encoder.Encode(batch);
            }

            encoder.Complete();
        }

        return output.ToArray();
    }

    private static List<string> JsonValues(byte[] lines, int columns)
    {
        using var document = System.Text.Json.JsonDocument.Parse(lines);
        return [.. Enumerable.Range(0, columns).Select(at => document.RootElement.GetProperty(string.Create(CultureInfo.InvariantCulture, $"c{at}")).GetRawText())];
    }

    private static List<string> ParquetTypes(Stream parquet, int columns)
    {
        using var reader = new ParquetFileReader(parquet, leaveOpen: true);
        var schema = reader.FileMetaData.Schema;
        var leaves = Enumerable.Range(0, schema.NumColumns).Select(schema.Column).ToList();
        return [.. Enumerable.Range(0, columns).Select(at => TypeOf(leaves.Single(leaf => leaf.Path.ToDotVector()[0] == string.Create(CultureInfo.InvariantCulture, $"c{at}"))))];
    }

    private static string TypeOf(ColumnDescriptor leaf) =>
        string.Concat(Enumerable.Repeat("LIST of ", leaf.MaxRepetitionLevel)) + leaf.LogicalType switch
        {
            IntLogicalType type => string.Create(CultureInfo.InvariantCulture, $"{(type.IsSigned ? "INT" : "UINT")}({type.BitWidth})"),
            DecimalLogicalType type => string.Create(CultureInfo.InvariantCulture, $"DECIMAL({type.Precision}, {type.Scale})"),
            TimestampLogicalType type => $"TIMESTAMP({type.TimeUnit.ToString().ToLowerInvariant()}, {(type.IsAdjustedToUtc ? "UTC" : "local")})",
            NoneLogicalType => leaf.PhysicalType.ToString().ToUpperInvariant(),
            var type => type.Type.ToString().ToUpperInvariant(),
        };

    private static async Task<List<TypeRow>> ReadTableAsync()
    {
        var lines = await File.ReadAllLinesAsync(Path.Combine(Repository(), "docs", "types.md"));
        return [.. lines.Where(line => line.StartsWith("| `", StringComparison.Ordinal)).Select(TypeRow.Parse)];
    }

    private static string Repository()
    {
        var folder = TestContext.CurrentContext.TestDirectory;
        while (!File.Exists(Path.Combine(folder, "Exporter.sln")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    private sealed record TypeRow(string Example, string Parquet, string Json)
    {
        public static TypeRow Parse(string line)
        {
            var cells = line.Split('|', StringSplitOptions.TrimEntries)[1..^1];
            return new TypeRow(Code(cells[1]), cells[2], Code(cells[3]));
        }

        private static string Code(string cell) => cell.Trim('`').Trim();
    }
}

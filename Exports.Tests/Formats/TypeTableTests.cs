using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Exporter.Exports.Model;
using ParquetSharp;
using Compression = Exporter.Exports.Model.Compression;

namespace Exporter.Exports.Tests.Formats;

/// <summary>
/// docs/types.md is a table of promises: each line is a value that goes from a real ClickHouse into every format. With UPDATE_TEXTS=1 in the
/// environment the lines are written anew instead.
/// </summary>
public sealed class TypeTableTests
{
    private static readonly FormatOptions Parquet = new();
    private static readonly FormatOptions Arrow = new() { Format = FileFormat.Arrow };
    private static readonly FormatOptions Json = new() { Format = FileFormat.JsonLines, Compression = Compression.None };
    private static readonly FormatOptions Csv = new() { Format = FileFormat.Csv, Compression = Compression.None, CsvHeader = false };

    // Types that are others under another name, or differ from one with a line in their unit or shape alone.
    private static readonly string[] LikeOthers =
    [
        "Decimal32", "Decimal64", "Decimal128", "Decimal256", "DateTime32", "Enum", "IntervalMicrosecond", "IntervalMillisecond", "IntervalSecond", "IntervalMinute",
        "IntervalHour", "IntervalWeek", "IntervalMonth", "IntervalQuarter", "IntervalYear",
    ];

    [Test]
    public async Task Every_type_arrives_as_the_documentation_says()
    {
        var rows = await ReadTableAsync();
        Assert.That(rows, Has.Count.GreaterThan(70));
        using var values = await SourceValues.OneRowAsync([.. rows.Select(row => row.Example)]);
        var found = await FoundAsync(rows, values);
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await WriteTableAsync(found);
            rows = await ReadTableAsync();
        }

        Assert.Multiple(() =>
        {
            foreach (var (row, now) in rows.Zip(found))
            {
                Assert.That(now, Is.EqualTo(row), "docs/types.md; UPDATE_TEXTS=1 writes it anew");
            }
        });
    }

    [Test]
    public async Task Every_type_of_ClickHouse_has_a_line()
    {
        var server = await TestServers.ClickHouseAsync();
        var all = (await server.ExecuteAsync("SELECT name FROM system.data_type_families WHERE alias_to = ''")).Split('\n');
        var shown = (await ReadTableAsync()).SelectMany(row => Regex.Matches(row.ClickHouse, "[A-Za-z0-9]+").Select(word => word.Value)).ToHashSet(StringComparer.Ordinal);
        Assert.That(all.Where(name => !shown.Contains(name)), Is.EquivalentTo(LikeOthers), "a new type wants a line in docs/types.md");
    }

    [Test]
    public async Task Parquet_and_Arrow_give_the_same_values_back()
    {
        var rows = await ReadTableAsync();
        using var values = await SourceValues.OneRowAsync([.. rows.Select(row => row.Example)]);
        var expected = JsonValues(values, values.Batches, rows.Count);
        foreach (var options in (FormatOptions[])[Parquet, Arrow])
        {
            using var file = FormatFile.Of(options, values.Batches[0].Schema, values.Batches);
            var back = JsonValues(values, await file.BatchesAsync(), rows.Count);
            // Parquet has no seconds: these come back as milliseconds.
            Assert.That(
                back, Is.EqualTo(options == Parquet ? expected.Select(value => value.Replace(":00Z\"", ":00.000Z\"", StringComparison.Ordinal)) : expected));
        }
    }

    [Test]
    public async Task Nested_values_are_JSON_text_where_it_is_asked_for()
    {
        string[] examples = ["CAST((1, [toDateTime('2026-11-23 10:00:00', 'Europe/Berlin')]), 'Tuple(a UInt64, b Array(DateTime(\\'Europe/Berlin\\')))')", "map('k', toUInt64('18446744073709551615'))"];
        using var values = await SourceValues.OneRowAsync(examples, nested: false);
        Assert.That(
            JsonValues(values, values.Batches, 2).Select(value => JsonDocument.Parse(value).RootElement.GetString()),
            Is.EqualTo(new[] { "{\"a\":1,\"b\":[\"2026-11-23T09:00:00Z\"]}", "{\"k\":18446744073709551615}" }));
    }

    private static async Task<List<TypeRow>> FoundAsync(List<TypeRow> rows, SourceValues values)
    {
        using var parquet = FormatFile.Of(Parquet, values.Batches[0].Schema, values.Batches);
        using var reader = new ParquetFileReader(parquet.Path);
        var root = reader.FileMetaData.Schema.GroupNode;
        using var arrow = FormatFile.Of(Arrow, values.Batches[0].Schema, values.Batches);
        var schema = (await arrow.BatchesAsync())[0].Schema;
        var json = JsonValues(values, values.Batches, rows.Count);
        using var csv = FormatFile.Of(Csv, values.Batches[0].Schema, values.Batches);
        var fields = Fields(csv.Bytes);
        return [.. rows.Select((row, at) => row with
        {
            Parquet = FormatTypes.Parquet(root.Fields[at]), Arrow = FormatTypes.Arrow(schema.GetFieldByIndex(at).DataType), Json = json[at], Csv = fields[at],
        })];
    }

    private static List<string> JsonValues(SourceValues values, IReadOnlyList<Apache.Arrow.RecordBatch> batches, int columns)
    {
        using var file = FormatFile.Of(Json, values.Batches[0].Schema, batches);
        using var document = JsonDocument.Parse(file.Bytes);
        return [.. Enumerable.Range(0, columns).Select(at => document.RootElement.GetProperty(SourceValues.Name(at)).GetRawText())];
    }

    // The one record's fields as they stand in the file, quotes and all; what a table cannot show is written as an escape.
    private static List<string> Fields(byte[] record)
    {
        var fields = new List<string>();
        var (field, quoted) = (new StringBuilder(), false);
        foreach (var letter in Shown(record))
        {
            quoted ^= letter == '"';
            if (letter == ',' && !quoted)
            {
                fields.Add(field.ToString());
                field.Clear();
            }
            else
            {
                field.Append(letter);
            }
        }

        fields.Add(field.ToString());
        return fields;
    }

    private static string Shown(byte[] record)
    {
        var text = new StringBuilder();
        var bytes = record.AsSpan(0, record.Length - 2);
        while (!bytes.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(bytes, out var rune, out var length) == System.Buffers.OperationStatus.Done && !Rune.IsControl(rune))
            {
                text.Append(rune.ToString());
            }
            else
            {
                text.Append(System.Globalization.CultureInfo.InvariantCulture, $"\\x{bytes[0]:X2}");
                length = 1;
            }

            bytes = bytes[length..];
        }

        return text.ToString();
    }

    private static async Task<List<TypeRow>> ReadTableAsync() =>
        [.. (await File.ReadAllLinesAsync(Table())).Where(IsRow).Select(TypeRow.Parse)];

    private static async Task WriteTableAsync(List<TypeRow> rows)
    {
        var next = new Queue<TypeRow>(rows);
        var lines = (await File.ReadAllLinesAsync(Table())).Select(line => IsRow(line) ? next.Dequeue().ToString() : line).ToList();
        await File.WriteAllTextAsync(Table(), string.Join('\n', lines) + "\n");
    }

    private static bool IsRow(string line) => line.StartsWith("| `", StringComparison.Ordinal) && line.Split('|').Length == 8;

    private static string Table() => Repository.PathOf("docs/types.md");

    private sealed record TypeRow(string ClickHouse, string Example, string Parquet, string Arrow, string Json, string Csv)
    {
        private const string Nothing = "nothing";

        public static TypeRow Parse(string line)
        {
            var cells = line.Split('|', StringSplitOptions.TrimEntries)[1..^1];
            return new TypeRow(Code(cells[0]), Code(cells[1]), cells[2], Code(cells[3]), Code(cells[4]), cells[5] == Nothing ? "" : Code(cells[5]));
        }

        public override string ToString() =>
            $"| `{ClickHouse}` | `{Example}` | {Parquet} | `{Arrow}` | `{Json}` | {(Csv.Length == 0 ? Nothing : $"`{Csv}`")} |";

        private static string Code(string cell) => cell.StartsWith('`') ? cell[1..^1] : cell;
    }
}

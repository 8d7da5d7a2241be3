using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Whole runs with nested values into every format, whose files are then read by programs that did not write them.</summary>
public sealed class WholeExportTests
{
    private const int Rows = 6_000;
    private const string Columns =
        "ts DateTime64(6, 'UTC'), id UInt64, text Nullable(String), tags Array(String), counts Map(String, UInt64), place Tuple(name String, spot Tuple(x Float64, y Int32))";

    // What both other programs have an expression for, so that the sums can be compared.
    private const string Sums = "count(), uniqExact(id), sum(id), count(text), sum(length(tags)), sum(counts['n']), sum(length(place.name)), sum(place.spot.y)";
    private const string DuckSums =
        "count(*), count(DISTINCT id), sum(id)::BIGINT, count(text), sum(len(tags))::BIGINT, sum(map_extract(counts, 'n')[1])::BIGINT, sum(strlen(place.name))::BIGINT, sum(place.spot.y)::BIGINT";

    private RunFixture _fixture = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _fixture = await RunFixture.StartedAsync(Columns, string.Create(CultureInfo.InvariantCulture, $"""
            SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 14), number, if(number % 7 = 0, NULL, 'ä, "' || number || '"'),
              arrayMap(i -> 'tag-' || i, range(number % 4)), map('n', number, 'k' || number % 3, 1), tuple('place ' || number % 100, tuple(number / 8, number % 50 - 25))
            FROM numbers({Rows})
            """));
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    private static IEnumerable<TestCaseData> Formats() =>
        from format in (FormatOptions[])
        [
            new() { Format = FileFormat.Parquet, Compression = Compression.Zstd, RowGroupRows = 1_000 },
            new() { Format = FileFormat.Parquet, Compression = Compression.Snappy, PageBytes = 8 * 1024, Statistics = false, Dictionary = false },
            new() { Format = FileFormat.Arrow, Compression = Compression.Lz4 },
            new() { Format = FileFormat.Csv, Compression = Compression.Gzip, CsvNull = "\\N" },
            new() { Format = FileFormat.Csv, Compression = Compression.Brotli, CsvNull = "\\N" },
            new() { Format = FileFormat.JsonLines, Compression = Compression.Zstd },
            new() { Format = FileFormat.JsonLines, Compression = Compression.Lz4 },
        ]
        select new TestCaseData(format).SetArgDisplayNames(format.Format.ToString(), format.Compression.ToString());

    [TestCaseSource(nameof(Formats))]
    public async Task Every_row_with_its_nested_values_is_read_back_by_others(FormatOptions format)
    {
        var run = await _fixture.RunAsync(RunFixture.Export() with { Format = format });
        Assert.That((run.State, run.ExportedRows, run.ExpectedRows), Is.EqualTo(("completed", (long)Rows, (long?)Rows)), run.Error);
        Assert.That(run.Slices, Is.GreaterThan(1).And.EqualTo(run.SlicesCommitted));
        await _fixture.ExpectProofAsync(run);
        var sums = await _fixture.Server.ExecuteAsync($"SELECT {Sums} FROM {_fixture.Table}");

        Assert.That(await ClickHouseAsync(format), Is.EqualTo(sums), "ClickHouse");
        if (DuckDb(format) is { } table)
        {
            var row = (await FormatFile.DuckDbAsync($"SELECT {DuckSums} FROM {table}"))[0];
            Assert.That(string.Join('\t', row), Is.EqualTo(sums), "DuckDB");
        }

        if (format.Format is FileFormat.Parquet or FileFormat.Arrow)
        {
            Assert.That(await ApacheArrowAsync(format), Is.EqualTo(sums), "Apache Arrow");
        }
    }

    private string Files(FormatOptions format) => $"{_fixture.Folder}/**/*{EncoderFactory.FileExtension(format)}";

    // In CSV nested values are JSON text.
    private Task<string> ClickHouseAsync(FormatOptions format) => _fixture.Server.ExecuteAsync(format.Format switch
    {
        FileFormat.Parquet => $"SELECT {Sums} FROM file('{Files(format)}', 'Parquet')",
        FileFormat.Arrow => $"SELECT {Sums} FROM file('{Files(format)}', 'Arrow')",
        FileFormat.JsonLines => $"SELECT {Sums} FROM file('{Files(format)}', 'JSONEachRow', '{Columns.Replace("'", "\\'", StringComparison.Ordinal)}') SETTINGS date_time_input_format = 'best_effort'",
        _ => $$"""
            SELECT {{Sums}} FROM (
              SELECT id, text, JSONExtract(tags, 'Array(String)') AS tags, JSONExtract(counts, 'Map(String, UInt64)') AS counts,
                JSONExtract(place, 'Tuple(name String, spot Tuple(x Float64, y Int32))') AS place
              FROM file('{{Files(format)}}', 'CSVWithNames', 'ts String, id UInt64, text Nullable(String), tags String, counts String, place String'))
            """,
    });

    // DuckDB reads neither Arrow files by itself nor text in Brotli or LZ4.
    private string? DuckDb(FormatOptions format) => (format.Format, format.Compression) switch
    {
        (FileFormat.Parquet, _) => $"read_parquet('{Files(format)}')",
        (FileFormat.JsonLines, Compression.Zstd) =>
            $"read_json('{Files(format)}', format = 'newline_delimited', columns = {{id: 'UBIGINT', text: 'VARCHAR', tags: 'VARCHAR[]', counts: 'MAP(VARCHAR, UBIGINT)', place: 'STRUCT(name VARCHAR, spot STRUCT(x DOUBLE, y INTEGER))'}})",
        (FileFormat.Csv, Compression.Gzip) =>
            $$$"""
            (SELECT id::UBIGINT AS id, text, from_json(tags, '["VARCHAR"]') AS tags, from_json(counts, '"MAP(VARCHAR, UBIGINT)"') AS counts,
              from_json(place, '{"name": "VARCHAR", "spot": {"x": "DOUBLE", "y": "INTEGER"}}') AS place
            FROM read_csv('{{{Files(format)}}}', header = true, all_varchar = true, nullstr = '\N'))
            """,
        _ => null,
    };

    private async Task<string> ApacheArrowAsync(FormatOptions format)
    {
        var (count, ids, sum, texts, tags, counts, names, ys) = (0L, new HashSet<ulong>(), 0UL, 0L, 0L, 0UL, 0L, 0L);
        foreach (var path in Directory.EnumerateFiles(_fixture.Folder, "*" + EncoderFactory.FileExtension(format), SearchOption.AllDirectories))
        {
            foreach (var batch in await FormatFile.BatchesAsync(path, format.Format))
            {
                using var closing = batch;
                var (id, text, tag, map) = ((UInt64Array)batch.Column("id"), batch.Column("text"), (ListArray)batch.Column("tags"), (MapArray)batch.Column("counts"));
                var place = (StructArray)batch.Column("place");
                var (name, y) = ((StringArray)place.Fields[0], (Int32Array)((StructArray)place.Fields[1]).Fields[1]);
                count += batch.Length;
                texts += batch.Length - text.NullCount;
                for (var row = 0; row < batch.Length; row++)
                {
                    var value = id.GetValue(row)!.Value;
                    ids.Add(value);
                    sum += value;
                    tags += tag.GetValueLength(row);
                    names += name.GetString(row).Length;
                    ys += y.GetValue(row)!.Value;
                    var (keys, values) = ((StringArray)map.Keys, (UInt64Array)map.Values);
                    for (var entry = map.ValueOffsets[row]; entry < map.ValueOffsets[row + 1]; entry++)
                    {
                        counts += keys.GetString(entry) == "n" ? values.GetValue(entry)!.Value : 0;
                    }
                }
            }
        }

        return string.Create(CultureInfo.InvariantCulture, $"{count}\t{ids.Count}\t{sum}\t{texts}\t{tags}\t{counts}\t{names}\t{ys}");
    }
}

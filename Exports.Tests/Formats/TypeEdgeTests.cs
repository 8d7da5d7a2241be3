using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Formats;

/// <summary>Values at the edges of their types, and random ones, which ClickHouse and DuckDB read back from the files and compare with what they were.</summary>
public sealed class TypeEdgeTests
{
    private static readonly string[] Edges =
    [
        "toInt8(-128)", "toInt16(-32768)", "toInt32(-2147483648)", "toInt64('-9223372036854775808')", "toInt64('9223372036854775807')",
        "toUInt64('18446744073709551615')", "toInt128('-170141183460469231731687303715884105728')", "toUInt128('340282366920938463463374607431768211455')",
        "toInt256('57896044618658097711785492504343953926634992332820282019728792003956564819967')",
        "toInt256('-57896044618658097711785492504343953926634992332820282019728792003956564819968')",
        "toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935')",
        "toDecimal32('-9999999.99', 2)", "toDecimal64('0.999999999999999999', 18)", "toDecimal128('-99999999999999999999999999999999999999', 0)",
        "toDecimal256('-9999999999999999999999999999999999999999999999999999999999999999999999999999', 0)",
        "toDecimal256('0.0000000000000000000000000000000000000000000000000000000000000000000000000001', 76)",
        "toFloat64('nan')", "toFloat64('inf')", "toFloat64('-inf')", "toFloat64(5e-324)", "toFloat64(-1.7976931348623157e308)", "toFloat64('-0')", "toFloat64(0.1)",
        "toFloat32('nan')", "toFloat32('-inf')", "toFloat32(1e-45)", "toFloat32(3.4028235e38)", "toBFloat16(-1.5)", "true", "false",
        "toDate('1970-01-01')", "toDate('2149-06-06')", "toDate32('1900-01-01')", "toDate32('2299-12-31')",
        "toDateTime('1970-01-01 00:00:00', 'UTC')", "toDateTime('2106-02-07 06:28:15', 'UTC')", "toDateTime('2026-10-25 02:30:00', 'Europe/Berlin')",
        "toDateTime64('1900-01-01 00:00:00', 0, 'UTC')", "toDateTime64('2299-12-31 23:59:59', 0, 'UTC')", "toDateTime64('1900-01-01 00:00:00.001', 3, 'UTC')",
        "toDateTime64('2299-12-31 23:59:59.999', 3, 'Asia/Tokyo')", "toDateTime64('2299-12-31 23:59:59.9999', 4, 'UTC')", "toDateTime64('2299-12-31 23:59:59.999999', 6, 'UTC')",
        "toDateTime64('1969-12-31 23:59:59.999999', 6, 'UTC')", "toDateTime64('1900-01-01 00:00:00.0000001', 7, 'UTC')", "toDateTime64('2299-12-31 23:59:59.9999999', 7, 'Asia/Tokyo')",
        "toDateTime64('2299-12-31 23:59:59.99999999', 8, 'UTC')", "toDateTime64('2262-04-11 23:47:16.854775807', 9, 'UTC')", "toDateTime64('1900-01-01 00:00:00.000000001', 9, 'UTC')",
        "toTime('999:59:59')", "toTime('-999:59:59')", "toTime64('-999:59:59.999999999', 9)", "toIntervalYear(-3)", "toIntervalNanosecond(9223372036854775807)",
        "toUUID('00000000-0000-0000-0000-000000000000')", "toUUID('ffffffff-ffff-ffff-ffff-ffffffffffff')", "toIPv4('0.0.0.0')", "toIPv4('255.255.255.255')",
        "toIPv6('::')", "toIPv6('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')", "toIPv6('::ffff:1.2.3.4')",
        "CAST('it\\'s, \"x\"', 'Enum8(\\'it\\\\\\'s, \"x\"\\' = -128, \\'b\\' = 127)')", "CAST('', 'Enum16(\\'\\' = -32768)')",
        "''", "repeat('é', 500000)", "'a\\0b\\0'", "' \\t\\r\\n\"\\\\,'", "'\\\\N'", "'NULL'", "'naïve 東京 🙂'", "toFixedString('ab', 4)", "toFixedString('', 3)",
        "toLowCardinality('x')", "toLowCardinality(toFixedString('a', 2))", "CAST(NULL, 'LowCardinality(Nullable(String))')", "CAST(NULL, 'Nullable(UInt256)')",
        "CAST(NULL, 'Nullable(DateTime64(8))')", "CAST('2299-12-31 23:59:59.12345678', 'Nullable(DateTime64(8, \\'UTC\\'))')", "NULL", "[]",
        "CAST([], 'Array(UInt256)')", "CAST([NULL, '', 'a'], 'Array(LowCardinality(Nullable(String)))')", "[toUUID('ffffffff-ffff-ffff-ffff-ffffffffffff')]",
        "[toDateTime64('2299-12-31 23:59:59.9999999', 7, 'Asia/Tokyo')]", "[[], [[toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935')]]]",
        "CAST(map(), 'Map(String, UInt8)')", "CAST(map('', 1, 'k \"q\"', 2), 'Map(LowCardinality(String), UInt64)')", "map(toDate32('2299-12-31'), toIPv6('::1'))",
        "map(toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), map(toUInt8(1), [toDecimal64('1.50', 2)]))", "map(toInt128(-5), toFloat64('-inf'))",
        "CAST((1, 'b'), 'Tuple(x Int32, y String)')", "(1, NULL, 'c')", "CAST((1, 'q'), 'Tuple(`a b` UInt8, `c,(\\'d` String)')",
        "CAST((toInt256('-5'), [(toDateTime('2026-10-25 02:30:00', 'Europe/Berlin'), 'x')], 'a'), "
        + "'Tuple(n Nullable(Int256), inner Nested(at DateTime(\\'Europe/Berlin\\'), e Enum8(\\'x\\' = 1)), f LowCardinality(FixedString(3)))')",
        "CAST([(1, 'a'), (2, '')], 'Nested(a UInt8, b String)')", "CAST([], 'Nested(a UInt8, b String)')",
        "CAST([1.5, -2], 'QBit(BFloat16, 2)')", "CAST([0.1, -2], 'QBit(Float64, 2)')", "CAST(3, 'SimpleAggregateFunction(sum, UInt64)')",
        "CAST('{\"a\": {\"b\": [1, {\"c\": 18446744073709551615}]}, \"d\": \"é\"}', 'JSON')", "CAST('{}', 'JSON')", "CAST(NULL, 'Nullable(JSON)')",
        "CAST(toUInt64('18446744073709551615'), 'Variant(String, UInt64)')", "CAST('18', 'Variant(String, UInt64)')", "CAST(NULL, 'Variant(String, UInt64)')",
        "CAST([toUInt64(1), 'a', NULL], 'Array(Variant(String, UInt64))')", "CAST(toDate('2026-11-23'), 'Dynamic')", "CAST(map('k', 'v'::Dynamic), 'Map(String, Dynamic)')",
        "CAST((1, '{\"a\": 1}'), 'Tuple(n UInt8, j JSON)')", "tuple()", "CAST((1, 2), 'Point')", "CAST([[(0, 0), (1, 0), (1, 1)]], 'Polygon')",
        "initializeAggregation('sumState', 7)", "arrayReduce('uniqState', [1, 2, 3])",
    ];

    private static IEnumerable<TestCaseData> Formats() => Enum.GetValues<FileFormat>().Select(
        format => new TestCaseData(new FormatOptions { Format = format, NonFinite = NonFiniteNumbers.Text, CsvNull = "\\N" }).SetArgDisplayNames(format.ToString()));

    [TestCaseSource(nameof(Formats))]
    public async Task ClickHouse_reads_back_every_value_that_it_gave(FormatOptions options)
    {
        // JSON cannot hold bytes that are no UTF-8, and ClickHouse reads no Bool from the name of a member, although it writes one.
        string[] edges = options.Format == FileFormat.JsonLines ? Edges : [.. Edges, "unhex('61FF6200FE')", "[unhex('C328')]", "map(true, 1, false, 2)"];
        if (options.Format == FileFormat.Csv)
        {
            // ClickHouse reads no JSON in CSV; these fields are compared with JSON Lines' values elsewhere.
            edges = [.. edges.Where(edge => !ReadsOnlyInJson(edge))];
        }

        using var values = await SourceValues.OneRowAsync(edges);
        using var file = FormatFile.Of(options, values.Batches[0].Schema, values.Batches);
        var wrong = await WrongAsync(values, file, await StructureAsync(values), values.Columns);
        Assert.That(wrong, Is.Empty);
    }

    // In CSV they are JSON text, which ClickHouse does not read there as what it is.
    [Test]
    public async Task Nested_values_are_the_same_JSON_in_CSV_as_in_JSON_Lines()
    {
        string[] edges = [.. Edges.Where(ReadsOnlyInJson)];
        Assert.That(edges, Has.Length.GreaterThan(15));
        using var values = await SourceValues.OneRowAsync(edges);
        using var csv = FormatFile.Of(new FormatOptions { Format = FileFormat.Csv, CsvNull = "\\N" }, values.Batches[0].Schema, values.Batches);
        using var lines = FormatFile.Of(new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None }, values.Batches[0].Schema, values.Batches);
        var structure = string.Join(", ", edges.Select((_, at) => $"{SourceValues.Name(at)} Nullable(String)"));
        var names = string.Join(", ", edges.Select((_, at) => SourceValues.Name(at)));
        using var fields = JsonDocument.Parse(await values.Server.ExecuteAsync($"SELECT {names} FROM {csv.ClickHouseTable(structure)} FORMAT JSONCompactEachRow"));
        using var row = JsonDocument.Parse(lines.Bytes);
        Assert.That(
            fields.RootElement.EnumerateArray().Select(field => field.GetString()),
            Is.EqualTo(edges.Select((_, at) => row.RootElement.GetProperty(SourceValues.Name(at))).Select(value => value.ValueKind switch
            {
                JsonValueKind.String => value.GetString(),
                JsonValueKind.Null => null,
                _ => value.GetRawText(),
            })));
    }

    [Test]
    public async Task DuckDB_reads_the_values_that_ClickHouse_gave()
    {
        (string Example, string? Value)[] edges =
        [
            ("toUInt64('18446744073709551615')", "18446744073709551615"),
            ("toInt256('-5')", "-5"),
            ("toDecimal128('-99999999999999999999999999999999999999', 0)", "-99999999999999999999999999999999999999"),
            ("toFloat64('nan')", "nan"), ("toFloat64('-inf')", "-inf"), ("toFloat64(5e-324)", "5e-324"),
            ("toDate32('2299-12-31')", "2299-12-31"), ("toDate32('1900-01-01')", "1900-01-01"),
            ("toDateTime64('2299-12-31 23:59:59.999999', 6, 'UTC')", "2299-12-31 23:59:59.999999+00"),
            ("toDateTime64('1970-01-01 00:00:00', 3, 'UTC')", "1970-01-01 00:00:00+00"),
            ("toFixedString('ab', 3)", "ab\0"), ("''", ""), ("repeat('é', 500000)", new string('é', 500000)), ("CAST(NULL, 'Nullable(Int8)')", null),
            ("CAST([1, NULL], 'Array(Nullable(UInt8))')", "[1, NULL]"),
            ("map('a', toUInt64('18446744073709551615'))", "{a=18446744073709551615}"),
            ("CAST((1, ['b']), 'Tuple(x Int32, y Array(String))')", "{'x': 1, 'y': [b]}"),
            ("CAST([(1, 'a'), (2, '')], 'Nested(a UInt8, b String)')", "[{'a': 1, 'b': a}, {'a': 2, 'b': ''}]"),
        ];
        using var values = await SourceValues.OneRowAsync([.. edges.Select(edge => edge.Example)]);
        using var file = FormatFile.Of(new FormatOptions(), values.Batches[0].Schema, values.Batches);
        var columns = string.Join(", ", edges.Select((_, at) => $"CAST({SourceValues.Name(at)} AS VARCHAR)"));
        var row = (await FormatFile.DuckDbAsync($"SELECT {columns} FROM read_parquet('{file.Path}')"))[0];
        Assert.That(row, Is.EqualTo(edges.Select(edge => edge.Value)));
    }

    [TestCaseSource(nameof(Formats))]
    public async Task Rows_of_random_nested_values_come_back_as_they_were(FormatOptions options)
    {
        const string Numbers = "a Array(Array(Nullable(UInt64))), b Map(UInt32, Array(Int256)), c Tuple(x Nullable(Int32), y Map(UInt8, Tuple(p Float64, q Date))), "
            + "d Array(Tuple(u UUID, t DateTime('Asia/Tokyo'), i IPv6)), e Nullable(Int128), f Nullable(UInt64), g Enum8('x' = 1, 'y' = 2), h Array(Date32)";
        // Random texts are no UTF-8, which the columns of Parquet and Arrow keep and JSON cannot.
        var structure = options.Format is FileFormat.Parquet or FileFormat.Arrow
            ? Numbers + ", s Nullable(String), fs FixedString(5), sm Map(String, Array(Nullable(String))), lc LowCardinality(String)"
            : Numbers;
        if (options.Format == FileFormat.Csv)
        {
            structure = "e Nullable(Int128), f Nullable(UInt64), g Enum8('x' = 1, 'y' = 2), h Date32, i IPv4, j Nullable(Int256), k Float32, l Nullable(UUID)";
        }

        var (values, table) = await SourceValues.RandomAsync(structure, 3_000);
        using var closing = values;
        // In views of the batches, as rows before and behind one that is put aside are.
        using var file = FormatFile.Of(options, values.Batches[0].Schema, values.Batches.SelectMany(Views));
        var names = values.Columns.Select(column => column.Alias).ToArray();
        var casts = values.Columns.Select(column => $"CAST({column.Alias}, '{Quoted(column.Type)}') AS {column.Alias}");
        var all = string.Join(", ", names);
        var back = $"SELECT {string.Join(", ", casts)} FROM {file.ClickHouseTable(await StructureAsync(values))}";
        var sum = $"SELECT count(), sum(cityHash64(toString(tuple({all})))), uniqExact(toString(tuple({all})))";
        Assert.That(
            await FormatFile.ClickHouseAsync(values.Server, $"{sum} FROM ({back})"),
            Is.EqualTo(await FormatFile.ClickHouseAsync(values.Server, $"{sum} FROM {table}")).And.StartsWith("3000\t"));
    }

    private static IEnumerable<RecordBatch> Views(RecordBatch batch)
    {
        var cut = batch.Length / 3;
        yield return batch.Slice(0, cut);
        yield return batch.Slice(cut, 1);
        yield return batch.Slice(cut + 1, batch.Length - cut - 1);
    }

    // What a Parquet file of the same values says of their types is how the text formats are read.
    private static async Task<string> StructureAsync(SourceValues values)
    {
        using var parquet = FormatFile.Of(new FormatOptions { Compression = Compression.None }, values.Batches[0].Schema, values.Batches);
        var described = await values.Server.ExecuteAsync($"DESCRIBE TABLE {parquet.ClickHouseTable()} FORMAT TSVRaw SETTINGS print_pretty_type_names = 0");
        return string.Join(", ", described.Split('\n').Select(line => line.Split('\t')).Select(column => $"`{column[0]}` {column[1]}"));
    }

    private static bool ReadsOnlyInJson(string edge) =>
        edge.StartsWith('[') || edge.StartsWith('(') || edge.StartsWith("map", StringComparison.Ordinal) || edge.StartsWith("CAST((1, 'b", StringComparison.Ordinal)
        || edge.StartsWith("CAST((", StringComparison.Ordinal) || edge.StartsWith("CAST([", StringComparison.Ordinal) || edge.StartsWith("CAST(map", StringComparison.Ordinal);

    private static async Task<List<string>> WrongAsync(SourceValues values, FormatFile file, string structure, IReadOnlyList<DescribedColumn> columns)
    {
        var checks = columns.Select((column, at) =>
        {
            var cell = $"f.{SourceValues.Name(at)}";
            var (back, was) = ColumnCast.Apply(column.Expression, column.Type, nested: true) switch
            {
                var text when text.StartsWith("toJSONString(", StringComparison.Ordinal) || text.StartsWith("hex(", StringComparison.Ordinal) => (cell, text),
                _ => ($"toString(CAST(CAST({cell}, '{Quoted(Known(column.Type, utc: true))}'), '{Quoted(Known(column.Type, utc: false))}'))", $"toString({column.Expression})"),
            };
            return $"if(ifNull({back}, '<null>') = ifNull({was}, '<null>'), '', concat('{Quoted(column.Expression)}: ', left(ifNull({was}, '<null>'), 200), ' came back as ', left(ifNull({back}, '<null>'), 200)))";
        });
        var answer = await FormatFile.ClickHouseAsync(
            values.Server,
            $"SELECT arrayJoin(arrayFilter(x -> x != '', [{string.Join(",\n", checks)}])) FROM {file.ClickHouseTable(structure)} AS f");
        return [.. answer.Split('\n', StringSplitOptions.RemoveEmptyEntries)];
    }

    // Texts of instants are in UTC; nothing can be cast to Nothing.
    private static string Known(string type, bool utc)
    {
        type = type.Replace("Nothing", "String", StringComparison.Ordinal);
        return utc ? type.Replace("'Asia/Tokyo'", "'UTC'", StringComparison.Ordinal) : type;
    }

    private static string Quoted(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal);
}

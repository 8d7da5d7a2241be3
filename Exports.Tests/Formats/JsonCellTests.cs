using System.Data.SqlTypes;
using System.Text;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Destinations;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Formats;

internal sealed class JsonCellTests
{
    [Test]
    public void Numbers_keep_every_digit_and_what_json_lacks_is_null()
    {
        Assert.That(Lines(new Int64Array.Builder().Append(long.MinValue).AppendNull().Build()), Is.EqualTo(new[] { "-9223372036854775808", "null" }));
        Assert.That(Lines(new UInt64Array.Builder().Append(ulong.MaxValue).Build()), Is.EqualTo(new[] { "18446744073709551615" }));
        Assert.That(
            Lines(new DoubleArray.Builder().Append(0.1).Append(double.NaN).Append(double.NegativeInfinity).Build()),
            Is.EqualTo(new[] { "0.1", "null", "null" }));
        Assert.That(Lines(new FloatArray.Builder().Append(0.1f).Append(float.NaN).Build()), Is.EqualTo(new[] { "0.1", "null" }));
        Assert.That(Lines(new BooleanArray.Builder().Append(true).Append(false).AppendNull().Build()), Is.EqualTo(new[] { "true", "false", "null" }));
    }

    [Test]
    public void Decimals_are_exact()
    {
        var narrow = new Decimal128Array.Builder(new Decimal128Type(38, 10))
            .Append(SqlDecimal.Parse("1234567890123456789012345678.0123456789")).Append(SqlDecimal.Parse("-0.0000000001")).AppendNull().Build();
        Assert.That(Lines(narrow), Is.EqualTo(new[] { "1234567890123456789012345678.0123456789", "-0.0000000001", "null" }));
        var wide = new Decimal256Array.Builder(new Decimal256Type(76, 2)).Append(-0.5m).Append(10m).Append(0m).Build();
        Assert.That(Lines(wide), Is.EqualTo(new[] { "-0.50", "10.00", "0.00" }));
        var whole = new Decimal128Array.Builder(new Decimal128Type(9, 0)).Append(7m).Append(-12m).Build();
        Assert.That(Lines(whole), Is.EqualTo(new[] { "7", "-12" }));
    }

    [Test]
    public void Instants_are_utc_with_the_digits_of_their_unit()
    {
        Assert.That(Times(TimeUnit.Second, 0), Is.EqualTo("\"1970-01-01T00:00:00Z\""));
        Assert.That(Times(TimeUnit.Millisecond, 1_700_000_000_123), Is.EqualTo("\"2023-11-14T22:13:20.123Z\""));
        Assert.That(Times(TimeUnit.Microsecond, -1), Is.EqualTo("\"1969-12-31T23:59:59.999999Z\""));
        Assert.That(Times(TimeUnit.Nanosecond, 1_700_000_000_123_456_789), Is.EqualTo("\"2023-11-14T22:13:20.123456789Z\""));
        Assert.That(Lines(new Date32Array.Builder().Append(new DateTime(2026, 11, 23)).Build()), Is.EqualTo(new[] { "\"2026-11-23\"" }));
    }

    [Test]
    public void Texts_of_any_content_stay_one_line_of_valid_json()
    {
        var texts = new StringArray.Builder().Append("a\"b\\c\n\u0001é😀<&").Append("").AppendNull().Build();
        Assert.That(Lines(texts), Is.EqualTo(new[] { "\"a\\\"b\\\\c\\n\\u0001é\\uD83D\\uDE00<&\"", "\"\"", "null" }));
        var broken = Array(StringType.Default, [0xff, (byte)'x']);
        Assert.That(Lines(broken), Is.EqualTo(new[] { "\"\\uFFFDx\"" }), "bytes that are not UTF-8 become U+FFFD");
        Assert.That(Lines(Array(BinaryType.Default, [0xff, 0])), Is.EqualTo(new[] { "\"/wA=\"" }));
    }

    [Test]
    public void Lists_maps_structs_and_dictionaries_nest()
    {
        var lists = new ListArray.Builder(Int32Type.Default);
        var items = (Int32Array.Builder)lists.ValueBuilder;
        lists.Append();
        items.Append(1).AppendNull();
        lists.AppendNull();
        lists.Append();
        Assert.That(Lines(lists.Build()), Is.EqualTo(new[] { "[1,null]", "null", "[]" }));

        var maps = new MapArray.Builder(new MapType(StringType.Default, Int32Type.Default));
        maps.Append();
        ((StringArray.Builder)maps.KeyBuilder).Append("a").Append("b");
        ((Int32Array.Builder)maps.ValueBuilder).Append(1).AppendNull();
        Assert.That(Lines(maps.Build()), Is.EqualTo(new[] { "{\"a\":1,\"b\":null}" }));

        var type = new StructType([new Field("x", Int32Type.Default, true), new Field("y", StringType.Default, true)]);
        var structs = new StructArray(
            type, 2, [new Int32Array.Builder().Append(1).Append(2).Build(), new StringArray.Builder().Append("p").AppendNull().Build()], ArrowBuffer.Empty);
        Assert.That(Lines(structs), Is.EqualTo(new[] { "{\"x\":1,\"y\":\"p\"}", "{\"x\":2,\"y\":null}" }));

        var dictionary = new DictionaryArray(
            new DictionaryType(Int8Type.Default, StringType.Default, false),
            new Int8Array.Builder().Append(1).Append(0).AppendNull().Build(),
            new StringArray.Builder().Append("no").Append("yes").Build());
        Assert.That(Lines(dictionary), Is.EqualTo(new[] { "\"yes\"", "\"no\"", "null" }));
    }

    [Test]
    public void A_sliced_batch_writes_its_own_rows()
    {
        using var all = TestBatches.Rows(0, 10);
        using var part = all.Slice(4, 2);
        using var output = new ChunkedStream();
        using var encoder = new JsonLinesEncoder(Options, TestBatches.Schema, output);
        encoder.Encode(part);
        encoder.Complete();
        Assert.That(Text(output).Split('\n').Select(line => line.Split(',')[0]), Is.EqualTo(new[] { "{\"id\":4", "{\"id\":5", "" }));
    }

    [Test]
    public void A_type_that_json_lines_cannot_hold_names_the_column()
    {
        var interval = new ArrayData(new IntervalType(IntervalUnit.YearMonth), 1, 0, 0, [ArrowBuffer.Empty, new ArrowBuffer(new byte[4])]);
        Assert.That(
            () => Lines(ArrowArrayFactory.BuildArray(interval)),
            Throws.TypeOf<UserErrorException>().With.Message.Contains("\"v\"").And.Property("Setting").EqualTo("format"));
    }

    private static readonly FormatOptions Options = new() { Format = FileFormat.JsonLines, Compression = Compression.None };

    private static string Times(TimeUnit unit, long value)
    {
        var data = new ArrayData(
            new TimestampType(unit, "Europe/Berlin"), 1, 0, 0, [ArrowBuffer.Empty, new ArrowBuffer(BitConverter.GetBytes(value))]);
        return Lines(new TimestampArray(data))[0];
    }

    private static IArrowArray Array(IArrowType type, byte[] value)
    {
        var offsets = new byte[8];
        BitConverter.GetBytes(value.Length).CopyTo(offsets, 4);
        return ArrowArrayFactory.BuildArray(new ArrayData(type, 1, 0, 0, [ArrowBuffer.Empty, new ArrowBuffer(offsets), new ArrowBuffer(value)]));
    }

    private static string[] Lines(IArrowArray column)
    {
        var schema = new Schema([new Field("v", column.Data.DataType, nullable: true)], null);
        using var output = new ChunkedStream();
        using var encoder = new JsonLinesEncoder(Options, schema, output);
        using var batch = new RecordBatch(schema, [column], column.Length);
        encoder.Encode(batch);
        encoder.Complete();
        return [.. Text(output).Split('\n')[..^1].Select(line => line[5..^1])];
    }

    private static string Text(ChunkedStream output)
    {
        using var all = output.TakeAll();
        using var reader = new StreamReader(all.OpenRead(), Encoding.UTF8);
        return reader.ReadToEnd();
    }
}

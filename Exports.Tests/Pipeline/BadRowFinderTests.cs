using System.Text;
using Apache.Arrow;
using Apache.Arrow.Types;
using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Pipeline;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>What a destination cannot hold is found, and nothing else.</summary>
public sealed class BadRowFinderTests
{
    private static readonly byte[][] Pieces = [.. new[] { "", "a", "ä", "\0", "€uro", "plain text" }.Select(Encoding.UTF8.GetBytes), [0xC3], [0xA4], [0xF0, 0x9F, 0x98], [0x80]];

    private static readonly Gen<byte[]?> Text = Gen.Select(
        Gen.Int[0, 9], Gen.Int[0, Pieces.Length - 1].Array[0, 4], (none, parts) => none == 0 ? null : parts.SelectMany(part => Pieces[part]).ToArray());

    private static readonly Gen<ColumnLimit> Limit = Gen.Select(Gen.Bool, Gen.Bool, Gen.Int[0, 12], (zero, utf8, most) =>
        new ColumnLimit { ZeroBytes = zero, Utf8 = utf8, MaxBytes = most == 0 ? null : most });

    // The look at a whole column must come to what a look at each value does, also where only the whole of two values is UTF-8.
    [Test]
    public void A_column_as_a_whole_is_judged_as_its_values_are() => Gen.Select(Text.Array[0, 30], Limit, Gen.Int[0, 5]).Sample((values, limit, skipped) =>
    {
        var builder = new StringArray.Builder();
        foreach (var value in values)
        {
            _ = value is null ? builder.AppendNull() : builder.Append(value.AsSpan());
        }

        using var whole = Batch(builder.Build());
        var from = Math.Min(skipped, values.Length);
        var batch = from == 0 ? whole : whole.Slice(from, values.Length - from);
        var expected = values.Skip(from)
            .Select((value, row) => (row, reason: value is null ? null : TextLimits.Broken(value, limit)))
            .Where(found => found.reason is not null).Select(found => new BadCell(found.row, 0, found.reason!.Value));
        Assert.That(new BadRowFinder([limit]).Find(batch), Is.EqualTo(expected));
    });

    [TestCase("{\"a\":\"b\\u0000\"}", BadReason.JsonZeroByte)]
    [TestCase("{\"\\u0000\":1}", BadReason.JsonZeroByte)]
    [TestCase("{\"a\":\"b\\\\u0000\"}", null)]
    [TestCase("[\"\\ud83d\"]", BadReason.JsonUnpairedSurrogate)]
    [TestCase("[\"\\ud83dx\"]", BadReason.JsonUnpairedSurrogate)]
    [TestCase("[\"\\ude00\"]", BadReason.JsonUnpairedSurrogate)]
    [TestCase("[\"\\ud83d\\ud83d\\ude00\"]", BadReason.JsonUnpairedSurrogate)]
    [TestCase("[\"\\ud83d\\ude00\\n\"]", null)]
    [TestCase("[[[1]]]", null)]
    [TestCase("[[[[1]]]]", BadReason.JsonTooDeep)]
    [TestCase("[{\"a\":[{}]}]", BadReason.JsonTooDeep)]
    [TestCase("{\"a\":", BadReason.JsonInvalid)]
    [TestCase("", BadReason.JsonInvalid)]
    [TestCase("[1] x", BadReason.JsonInvalid)]
    [TestCase("\"a\0b\"", BadReason.JsonInvalid)]
    [TestCase("12.5", null)]
    public void Json_text_is_looked_into(string text, BadReason? expected) => Assert.That(
        TextLimits.Broken(Encoding.UTF8.GetBytes(text), new ColumnLimit { Json = new JsonLimit { MaxDepth = 3, ZeroBytes = false, UnpairedSurrogates = false } }),
        Is.EqualTo(expected));

    [Test]
    public void Numbers_beyond_the_range_and_those_that_are_none_are_found()
    {
        using var wide = Batch(new UInt64Array.Builder().Append(0).Append(long.MaxValue).Append((ulong)long.MaxValue + 1).AppendNull().Append(ulong.MaxValue).Build());
        Assert.That(Rows(wide, new ColumnLimit { Whole = (long.MinValue, long.MaxValue) }), Is.EqualTo(new[] { 2, 4 }));
        using var days = Batch(new Date32Array.Builder().Append(new DateOnly(1970, 1, 1)).Append(new DateOnly(2299, 12, 31)).Build());
        Assert.That(Rows(days, new ColumnLimit { Whole = (0, 100_000) }), Is.EqualTo(new[] { 1 }));
        using var floats = Batch(new DoubleArray.Builder().Append(1).Append(double.NaN).AppendNull().Append(double.NegativeInfinity).Build());
        Assert.That(Rows(floats, new ColumnLimit { NotFinite = false }), Is.EqualTo(new[] { 1, 3 }));
        Assert.That(Rows(floats, null), Is.Empty, "without a limit nothing is looked at");
    }

    [Test]
    public void A_bad_value_inside_a_list_makes_its_row_bad()
    {
        var lists = new ListArray.Builder(StringType.Default);
        var texts = (StringArray.Builder)lists.ValueBuilder;
        foreach (var row in new[] { new[] { "a" }, [], ["b", "x\0", "y\0"], ["c"], ["\0"] })
        {
            lists.Append();
            texts.AppendRange(row);
        }

        using var whole = Batch(lists.Build());
        Assert.That(Rows(whole, new ColumnLimit { ZeroBytes = false }), Is.EqualTo(new[] { 2, 4 }));
        Assert.That(Rows(whole.Slice(1, 2), new ColumnLimit { ZeroBytes = false }), Is.EqualTo(new[] { 1 }));
        Assert.That(Rows(whole.Slice(3, 2), new ColumnLimit { ZeroBytes = false }), Is.EqualTo(new[] { 1 }));
    }

    private static IEnumerable<int> Rows(RecordBatch batch, ColumnLimit? limit) => new BadRowFinder([limit]).Find(batch).Select(cell => cell.Row);

    private static RecordBatch Batch(IArrowArray array) =>
        new(new Schema([new Field("c", array.Data.DataType, nullable: true)], null), [array], array.Length);
}

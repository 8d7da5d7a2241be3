using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Sources;

internal sealed class ColumnCastTests
{
    [TestCase("UInt64", "x")]
    [TestCase("FixedString(4)", "x")]
    [TestCase("Nullable(Enum8('a, (b' = 1, 'it\\'s' = 2))", "CAST(x, 'Nullable(String)')")]
    [TestCase("LowCardinality(Nullable(FixedString(2)))", "CAST(x, 'Nullable(FixedString(2))')")]
    [TestCase("DateTime('Europe/Berlin')", "CAST(x, 'DateTime64(0, \\'UTC\\')')")]
    [TestCase("DateTime64(8, 'Asia/Tokyo')", "concat(replaceOne(CAST(CAST(x, 'DateTime64(8, \\'UTC\\')'), 'String'), ' ', 'T'), 'Z')")]
    [TestCase("Array(DateTime64(7))", "CAST(CAST(x, 'Array(DateTime64(7, \\'UTC\\'))'), 'Array(String)')")]
    [TestCase("QBit(BFloat16, 8)", "CAST(x, 'Array(Float32)')")]
    [TestCase("AggregateFunction(quantiles(0.5, 0.9), Float64)", "hex(x)")]
    [TestCase("SimpleAggregateFunction(max, DateTime)", "CAST(x, 'DateTime64(0, \\'UTC\\')')")]
    [TestCase("Map(LowCardinality(String), Array(UUID))", "CAST(x, 'Map(String, Array(String))')")]
    [TestCase("Tuple(\n    a UInt8,\n    `b, c(` Nullable(UUID))", "CAST(x, 'Tuple(a UInt8, `b, c(` Nullable(String))')")]
    [TestCase("Tuple(UInt8, DateTime64(3, 'UTC'))", "x")]
    [TestCase("Tuple(`it's \\` q` UInt128)", "CAST(x, 'Tuple(`it\\'s \\\\` q` String)')")]
    [TestCase("Nested(a UInt8, b Date)", "CAST(x, 'Array(Tuple(a UInt8, b Date32))')")]
    [TestCase("Array(Tuple(a UInt8, j JSON(max_dynamic_paths=0, a.b UInt32)))", "toJSONString(x)")]
    [TestCase("Nullable(Tuple(a UInt8))", "toJSONString(x)")]
    [TestCase("Map(String, Variant(String, UInt8))", "toJSONString(x)")]
    [TestCase("Array(AggregateFunction(sum, UInt8))", "toJSONString(x)")]
    [TestCase("Tuple()", "toJSONString(x)")]
    [TestCase("Dynamic(max_types=4)", "toJSONString(x)")]
    [TestCase("Point", "toJSONString(x)")]
    public void Every_value_inside_is_cast_to_what_Arrow_carries_whole(string type, string expression) =>
        Assert.That(ColumnCast.Apply("x", type, nested: true), Is.EqualTo(expression));

    [TestCase("Map(String, UInt8)")]
    [TestCase("Array(Tuple(a UInt8))")]
    [TestCase("Nested(a UInt8)")]
    public void Nested_values_are_JSON_text_for_a_destination_that_has_none(string type) =>
        Assert.That(ColumnCast.Apply("x", type), Is.EqualTo("toJSONString(x)"));
}

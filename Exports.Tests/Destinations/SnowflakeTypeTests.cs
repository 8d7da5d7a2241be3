using Exporter.Exports.Destinations.Snowflake;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table of docs/destinations/snowflake.md: each line is a value that goes from a real ClickHouse through a staged file into the double's table.</summary>
public sealed class SnowflakeTypeTests
{
    [Test]
    public async Task Every_type_arrives_in_Snowflake_as_the_documentation_says()
    {
        var rows = await TypeTable.ReadAsync("snowflake.md");
        Assert.That(rows, Has.Count.GreaterThan(40));
        await using var server = await SnowflakeServer.StartAsync(await TestServers.S3Async());
        await using var destination = server.Open();
        await TypeTable.ExportAsync(rows, destination);

        var described = server.Tables.ColumnsOf((SnowflakeTables.Database, SnowflakeTables.Schema, "TYPES"));
        var names = Enumerable.Range(0, rows.Count).Select(at => TypeTable.Column(at).ToUpperInvariant());
        var values = await server.ListAsync($"SELECT unnest([{string.Join(", ", names.Select(name => $"CAST(\"{name}\" AS VARCHAR)"))}]) FROM \"ANALYTICS\".\"PUBLIC\".\"TYPES\"");
        var found = rows.Select((row, at) => row with { Type = Short(described[at].Type), Value = values[at] }).ToList();
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await TypeTable.WriteAsync("snowflake.md", found);
        }

        Assert.That(found, Is.EqualTo(rows), "docs/destinations/snowflake.md; UPDATE_TEXTS=1 writes it anew");
    }

    [TestCase("NUMBER(38,0)", "NUMBER(20,0)", true)]
    [TestCase("NUMBER(20,0)", "NUMBER(38,0)", false)]
    [TestCase("NUMBER(38,2)", "NUMBER(38,0)", false)]
    [TestCase("NUMBER(38,2)", "NUMBER(9,2)", true)]
    [TestCase("TIMESTAMP_LTZ(9)", "TIMESTAMP_LTZ(6)", true)]
    [TestCase("TIMESTAMP_TZ(9)", "TIMESTAMP_LTZ(6)", true)]
    [TestCase("TIMESTAMP_NTZ(9)", "TIMESTAMP_LTZ(6)", false)]
    [TestCase("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(6)", false)]
    [TestCase("VARIANT", "ARRAY", true)]
    [TestCase("VARIANT", "VARCHAR", true)]
    [TestCase("VARCHAR(16777216)", "VARIANT", true)]
    [TestCase("VARCHAR(10)", "NUMBER(38,0)", false)]
    [TestCase("FLOAT", "NUMBER(38,0)", false)]
    public void A_column_takes_what_fits_into_it(string column, string values, bool takes) =>
        Assert.That(SnowflakeType.Parse(column).Takes(SnowflakeType.Parse(values)), Is.EqualTo(takes));

    private static string Short(string type) => type is "VARCHAR(16777216)" or "BINARY(8388608)" ? type[..type.IndexOf('(', StringComparison.Ordinal)] : type;
}

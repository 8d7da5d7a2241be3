using Exporter.Exports.Destinations.Redshift;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table of docs/destinations/redshift.md: each line is a value that goes from a real ClickHouse through a staged file, or by INSERT, into the double's table.</summary>
public sealed class RedshiftTypeTests
{
    [TestCase("copy")]
    [TestCase("insert")]
    public async Task Every_type_arrives_in_Redshift_as_the_documentation_says(string load)
    {
        var rows = await TypeTable.ReadAsync("redshift.md");
        Assert.That(rows, Has.Count.GreaterThan(40));
        await using var server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());
        await using var destination = server.Open(("load", load));
        await TypeTable.ExportAsync(rows, destination);

        var described = await server.ListAsync<(string Type, int? Length, int? Precision, int? Scale)>(
            "select data_type, character_maximum_length, numeric_precision, numeric_scale from redshift.svv_all_columns where table_name = 'types' and column_name <> '_exporter_commit' order by ordinal_position");
        var names = Enumerable.Range(0, rows.Count).Select(TypeTable.Column);
        var values = await server.ListAsync<string?>($"select unnest(array[{string.Join(", ", names.Select(name => $"{name}::text"))}]) from types");
        var found = rows.Select((row, at) => row with { Type = Short(RedshiftType.Parse(described[at].Type, described[at].Length, described[at].Precision, described[at].Scale)), Value = values[at] }).ToList();
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await TypeTable.WriteAsync("redshift.md", found);
        }

        Assert.That(found, Is.EqualTo(rows), "docs/destinations/redshift.md; UPDATE_TEXTS=1 writes it anew");
    }

    [TestCase("bigint", null, 64, 0, "INTEGER", true)]
    [TestCase("integer", null, 32, 0, "BIGINT", false)]
    [TestCase("numeric", null, 38, 0, "BIGINT", true)]
    [TestCase("numeric", null, 18, 0, "BIGINT", false)]
    [TestCase("numeric", null, 38, 30, "BIGINT", false)]
    [TestCase("character varying", 10, null, null, "VARCHAR", true)]
    [TestCase("character varying", 65535, null, null, "SUPER", true)]
    [TestCase("super", null, null, null, "VARCHAR", true)]
    [TestCase("double precision", null, null, null, "REAL", true)]
    [TestCase("real", null, null, null, "DOUBLE PRECISION", false)]
    [TestCase("timestamp with time zone", null, null, null, "TIMESTAMPTZ", true)]
    [TestCase("timestamp without time zone", null, null, null, "TIMESTAMPTZ", false)]
    [TestCase("boolean", null, null, null, "SMALLINT", false)]
    public void A_column_takes_what_fits_into_it(string type, int? length, int? precision, int? scale, string values, bool takes) =>
        Assert.That(RedshiftType.Parse(type, length, precision, scale).Takes(new RedshiftType(values, values == "VARCHAR" ? RedshiftType.MostText : 0)), Is.EqualTo(takes));

    private static string Short(RedshiftType type) => type.Sql;
}

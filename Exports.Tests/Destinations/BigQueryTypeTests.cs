using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table of docs/destinations/bigquery.md: each line is a value that goes from a real ClickHouse through a load job into the double's table.</summary>
public sealed class BigQueryTypeTests
{
    [Test]
    public async Task Every_type_arrives_in_BigQuery_as_the_documentation_says()
    {
        var rows = await TypeTable.ReadAsync("bigquery.md");
        Assert.That(rows, Has.Count.GreaterThan(40));
        await using var server = await BigQueryServer.StartAsync();
        await using var destination = server.Open();
        await TypeTable.ExportAsync(rows, destination);

        var fields = server.Tables.All["types"]["schema"]!["fields"]!.AsArray();
        var names = Enumerable.Range(0, rows.Count).Select(TypeTable.Column);
        var values = await server.ListAsync($"SELECT unnest([{string.Join(", ", names.Select(name => $"CAST(\"{name}\" AS VARCHAR)"))}]) FROM \"test-project\".analytics.types");
        var found = rows.Select((row, at) => row with { Type = BigQueryType.Of(fields[at]!.AsObject()).Sql, Value = values[at] }).ToList();
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await TypeTable.WriteAsync("bigquery.md", found);
        }

        Assert.That(found, Is.EqualTo(rows), "docs/destinations/bigquery.md; UPDATE_TEXTS=1 writes it anew");
    }

    [TestCase("NUMERIC", "INT64", true)]
    [TestCase("NUMERIC(20)", "INT64", true)]
    [TestCase("NUMERIC(18)", "INT64", false)]
    [TestCase("BIGNUMERIC", "NUMERIC(38,9)", true)]
    [TestCase("NUMERIC", "BIGNUMERIC(38,10)", false)]
    [TestCase("NUMERIC(10,2)", "NUMERIC(9,2)", true)]
    [TestCase("NUMERIC(10,2)", "NUMERIC(9,3)", false)]
    [TestCase("INT64", "NUMERIC(20)", false)]
    [TestCase("FLOAT64", "INT64", false)]
    [TestCase("STRING", "JSON", true)]
    [TestCase("JSON", "STRING", true)]
    [TestCase("JSON", "ARRAY<INT64>", true)]
    [TestCase("STRING(10)", "STRING", false)]
    [TestCase("ARRAY<INT64>", "ARRAY<INT64>", true)]
    [TestCase("ARRAY<NUMERIC>", "ARRAY<INT64>", false)]
    [TestCase("ARRAY<STRING>", "STRING", false)]
    [TestCase("DATETIME", "TIMESTAMP", false)]
    [TestCase("BYTES", "STRING", false)]
    public void A_column_takes_what_fits_into_it(string column, string values, bool takes) => Assert.That(Parse(column).Takes(Parse(values)), Is.EqualTo(takes));

    private static BigQueryType Parse(string text)
    {
        var isArray = text.StartsWith("ARRAY<", StringComparison.Ordinal);
        var parts = (isArray ? text[6..^1] : text).Split('(', ',', ')');
        return new BigQueryType(parts[0], parts.Length > 1 ? int.Parse(parts[1], null) : 0, parts.Length > 3 ? int.Parse(parts[2], null) : 0, isArray);
    }
}

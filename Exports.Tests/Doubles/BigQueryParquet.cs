using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// What load jobs take of a Parquet file: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet. The types of its columns must be those
/// that its table of conversions has for the types of the table.
/// </summary>
internal static class BigQueryParquet
{
    public static async Task CheckAsync(BigQueryTables tables, string path, JsonArray fields, bool listInference)
    {
        var codecs = await tables.SelectAsync($"SELECT DISTINCT compression FROM parquet_metadata('{path}')");
        Assert.That(codecs.Rows.Select(row => row[0]), Is.SubsetOf(new[] { "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW", "UNCOMPRESSED" }));
        var schema = await tables.SelectAsync(
            $"SELECT name, type, coalesce(converted_type, ''), coalesce(CAST(logical_type AS VARCHAR), ''), coalesce(CAST(num_children AS VARCHAR), '0') FROM parquet_schema('{path}')");
        var at = 1;
        foreach (var field in fields)
        {
            var name = field!["name"]!.GetValue<string>();
            Assert.That(schema.Rows[at][0], Is.EqualTo(name), "columns are in the order of the schema");
            var isList = schema.Rows[at][4] != "0";
            if (isList != (field["mode"]!.GetValue<string>() == "REPEATED") || (isList && !listInference))
            {
                throw BigQueryFailure.Invalid($"Error while reading data, error message: Parquet column '{name}' is {(isList ? "a group" : "no list")}, which does not match the schema.");
            }

            var leaf = isList ? at + 2 : at;
            var (type, converted, logical) = (schema.Rows[leaf][1]!, schema.Rows[leaf][2]!, schema.Rows[leaf][3]!);
            if (!Converts(type, converted, logical, BigQueryTables.NameOf(field.AsObject())))
            {
                throw BigQueryFailure.Invalid($"Error while reading data, error message: Parquet column '{name}' has type {type} ({converted}{logical}) which does not match the target type {field["type"]}.");
            }

            at = leaf + 1;
        }

        Assert.That(at, Is.EqualTo(schema.Rows.Count), "no column is left over");
    }

    private static bool Converts(string type, string converted, string logical, string to) => (type, converted, to) switch
    {
        ("BOOLEAN", _, "BOOL") or ("FLOAT" or "DOUBLE", _, "FLOAT64") => true,
        ("INT32" or "INT64", "" or "INT_8" or "INT_16" or "INT_32" or "INT_64", "INT64") => !logical.Contains("Timestamp", StringComparison.OrdinalIgnoreCase),
        ("INT32", "DATE", "DATE") => true,
        ("INT64", _, "TIMESTAMP") => converted is "TIMESTAMP_MICROS" or "TIMESTAMP_MILLIS" || logical.Contains("Micros", StringComparison.OrdinalIgnoreCase),
        (_, "DECIMAL", "NUMERIC" or "BIGNUMERIC") => true,
        ("BYTE_ARRAY", "UTF8", "STRING") => true,
        ("BYTE_ARRAY" or "FIXED_LEN_BYTE_ARRAY", "", "BYTES") => true,
        _ => false,
    };
}

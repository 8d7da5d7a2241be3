using System.Security.Cryptography;
using Apache.Arrow;
using Apache.Arrow.Types;
using ParquetSharp.Arrow;
using Schema = Apache.Arrow.Schema;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Rows of one text column, and their way back out of a Parquet file.</summary>
internal static class SliceRows
{
    public static Schema Schema { get; } = new([new Field("value", StringType.Default, nullable: true)], null);

    public static RecordBatch Batch(params string[] values)
    {
        var column = new StringArray.Builder().AppendRange(values).Build();
        return new RecordBatch(Schema, [column], values.Length);
    }

    public static async Task<List<string>> ReadAsync(Stream parquet)
    {
        using var reader = new FileReader(parquet);
        using var batches = reader.GetRecordBatchReader();
        var values = new List<string>();
        while (await batches.ReadNextRecordBatchAsync() is { } batch)
        {
            using (batch)
            {
                var column = (StringArray)batch.Column(0);
                values.AddRange(Enumerable.Range(0, batch.Length).Select(row => column.GetString(row)));
            }
        }

        return values;
    }
}

internal static class SliceBytes
{
    public static string Sha256(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    public static async Task<string> Sha256Async(string path) => Sha256(await File.ReadAllBytesAsync(path));
}

using System.Data.Common;
using System.Globalization;
using System.Security.Cryptography;
using Apache.Arrow;
using Apache.Arrow.Compression;
using Apache.Arrow.Ipc;
using DuckDB.NET.Data;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using FileReader = ParquetSharp.Arrow.FileReader;

namespace Exporter.Exports.Tests.Formats;

/// <summary>A file that an encoder wrote, and what other programs read in it.</summary>
internal sealed class FormatFile : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("exporter-format-").FullName;

    private FormatFile(FormatOptions options, byte[] bytes)
    {
        Options = options;
        Path = System.IO.Path.Combine(folder, "slice-00000" + EncoderFactory.FileExtension(options));
        Bytes = bytes;
        File.WriteAllBytes(Path, bytes);
    }

    public FormatOptions Options { get; }

    public string Path { get; }

    public byte[] Bytes { get; }

    /// <summary>Encodes as destinations do, taking bytes out of the stream between batches.</summary>
    public static FormatFile Of(FormatOptions options, Schema schema, IEnumerable<RecordBatch> batches)
    {
        using var bytes = new MemoryStream();
        using var output = new ChunkedStream();
        using (var encoder = EncoderFactory.Create(options, schema, output))
        {
            foreach (var batch in batches)
            {
                encoder.Encode(batch);
                Drain();
            }

            encoder.Complete();
        }

        Drain();
        Assert.That(output.Sha256(), Is.EqualTo(Convert.ToHexStringLower(SHA256.HashData(bytes.ToArray()))));
        return new FormatFile(options, bytes.ToArray());

        void Drain()
        {
            using var taken = output.TakeAll();
            using var reader = taken.OpenRead();
            reader.CopyTo(bytes);
        }
    }

    /// <summary>ClickHouse's table function over the file.</summary>
    public string ClickHouseTable(string structure = "auto") => Options.Format switch
    {
        FileFormat.Parquet => $"file('{Path}', 'Parquet')",
        FileFormat.Arrow => $"file('{Path}', 'Arrow')",
        FileFormat.Csv => $"file('{Path}', '{(Options.CsvHeader ? "CSVWithNames" : "CSV")}', '{Quoted(structure)}')",
        _ => $"file('{Path}', 'JSONEachRow', '{Quoted(structure)}')",
    };

    /// <summary>What ClickHouse answers, rows in lines and fields in tabs.</summary>
    public static Task<string> ClickHouseAsync(LocalClickHouse server, string sql) => server.ExecuteAsync(
        sql + " SETTINGS date_time_input_format = 'best_effort', date_time_output_format = 'iso', cast_string_to_date_time_mode = 'best_effort'");

    /// <summary>What DuckDB answers, in its own texts.</summary>
    public static async Task<List<string?[]>> DuckDbAsync(string sql)
    {
        await using var connection = new DuckDBConnection("DataSource=:memory:");
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = "SET TimeZone = 'UTC'";
        await command.ExecuteNonQueryAsync();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string?[]>();
        while (await reader.ReadAsync())
        {
            rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(at => Text(reader, at))]);
        }

        return rows;
    }

    /// <summary>The file's batches, read by Apache's own libraries.</summary>
    public Task<List<RecordBatch>> BatchesAsync() => BatchesAsync(Path, Options.Format);

    /// <summary>A file's batches, read by Apache's own libraries.</summary>
    public static async Task<List<RecordBatch>> BatchesAsync(string path, FileFormat format)
    {
        var batches = new List<RecordBatch>();
        if (format == FileFormat.Parquet)
        {
            using var file = new FileReader(path);
            using var stream = file.GetRecordBatchReader();
            while (await stream.ReadNextRecordBatchAsync() is { } batch)
            {
                batches.Add(batch);
            }
        }
        else
        {
            using var reader = new ArrowFileReader(new MemoryStream(await File.ReadAllBytesAsync(path)), new CompressionCodecFactory());
            for (var at = 0; at < await reader.RecordBatchCountAsync(); at++)
            {
                batches.Add(await reader.ReadRecordBatchAsync(at));
            }
        }

        return batches;
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static string? Text(DbDataReader reader, int at) =>
        reader.IsDBNull(at) ? null : Convert.ToString(reader.GetValue(at), CultureInfo.InvariantCulture);

    private static string Quoted(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal);
}

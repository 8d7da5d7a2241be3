using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using DuckDB.NET.Data;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>What exports are measured against, each in a process of its own, which first does a small part to be warm.</summary>
internal static class BenchPeers
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Arguments: the peer, ClickHouse's address with everything but the query, its process, the condition of the small part and of the whole, the output.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var (peer, address, server, output) = (args[0], new Uri(args[1]), int.Parse(args[2], CultureInfo.InvariantCulture), args[5]);
        Func<string, Task<(long, long, long)>> work = peer switch
        {
            "old" => where => OldWayAsync(address, where, output),
            "clickhouse" => where => StreamAsync(address, where, output),
            "clickhouse-file" => where => InsertAsync(address, where, output),
            "clickhouse-s3" => where => ObjectAsync(address, where, output),
            "duckdb" => where => DuckDbAsync(where, args[1], output),
            _ => throw new ArgumentException($"There is no {peer}.", nameof(args)),
        };
        await work(args[3]);
        var pace = await Usage.MeasureAsync(Environment.ProcessId, server, () => work(args[4]));
        await Console.Out.WriteLineAsync(JsonSerializer.Serialize(pace));
        return 0;
    }

    // As a service would that asks for JSON: read as it comes, one row after the other, and written as it was read.
    private static async Task<(long Rows, long WireBytes, long FileBytes)> OldWayAsync(Uri address, string where, string output)
    {
        using var http = new HttpClient();
        using var answer = await AskAsync(http, address, $"SELECT * FROM {BenchTable.Name} WHERE {where} FORMAT JSONEachRow");
        await using var source = new CountedStream(await answer.Content.ReadAsStreamAsync());
        await using var file = Create(output);
        var context = new OldWayContext(new JsonSerializerOptions(OldWayContext.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        await using var writer = new Utf8JsonWriter(file, new JsonWriterOptions { SkipValidation = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        var rows = 0L;
        await foreach (var row in JsonSerializer.DeserializeAsyncEnumerable(source, context.OldWayRow, topLevelValues: true))
        {
            JsonSerializer.Serialize(writer, row!, context.OldWayRow);
            await writer.FlushAsync();
            file.WriteByte((byte)'\n');
            writer.Reset();
            rows++;
        }

        file.Flush(flushToDisk: true);
        return (rows, source.Count, file.Length);
    }

    // ClickHouse writes the format itself; what comes is put into a file.
    private static async Task<(long Rows, long WireBytes, long FileBytes)> StreamAsync(Uri address, string where, string output)
    {
        using var http = new HttpClient();
        using var answer = await AskAsync(http, address, $"SELECT * FROM {BenchTable.Name} WHERE {where} FORMAT Parquet");
        await using var source = await answer.Content.ReadAsStreamAsync();
        await using var file = Create(output);
        await source.CopyToAsync(file, BufferBytes);
        file.Flush(flushToDisk: true);
        return (0, file.Length, file.Length);
    }

    private static async Task<(long Rows, long WireBytes, long FileBytes)> InsertAsync(Uri address, string where, string output)
    {
        File.Delete(output);
        using var http = new HttpClient();
        using var answer = await AskAsync(http, address, $"INSERT INTO FUNCTION file('{output}', 'Parquet') SELECT * FROM {BenchTable.Name} WHERE {where}");
        await answer.Content.ReadAsStringAsync();
        await using var file = new FileStream(output, FileMode.Open, FileAccess.ReadWrite);
        file.Flush(flushToDisk: true);
        return (0, 0, file.Length);
    }

    // ClickHouse uploads the file itself; the output is the object's URL, with the keys of its user.
    private static async Task<(long Rows, long WireBytes, long FileBytes)> ObjectAsync(Uri address, string where, string output)
    {
        var target = new UriBuilder(output);
        var (key, secret) = (target.UserName, target.Password);
        (target.UserName, target.Password) = ("", "");
        using var http = new HttpClient();
        using var answer = await AskAsync(
            http, address, $"INSERT INTO FUNCTION s3('{target.Uri}', '{key}', '{secret}', 'Parquet') SELECT * FROM {BenchTable.Name} WHERE {where} SETTINGS s3_truncate_on_insert = 1");
        await answer.Content.ReadAsStringAsync();
        return (0, 0, 0);
    }

    // Its source is Parquet that lies there already, so it reads no ClickHouse at all.
    private static async Task<(long Rows, long WireBytes, long FileBytes)> DuckDbAsync(string where, string input, string output)
    {
        await using var duck = new DuckDBConnection("DataSource=:memory:");
        await duck.OpenAsync();
        await using var command = duck.CreateCommand();
        command.CommandText = $"SET TimeZone = 'UTC'; COPY (SELECT * FROM read_parquet('{new Uri(input).LocalPath}') WHERE {where}) TO '{output}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)";
        await command.ExecuteNonQueryAsync();
        await using var file = new FileStream(output, FileMode.Open, FileAccess.ReadWrite);
        file.Flush(flushToDisk: true);
        return (0, 0, file.Length);
    }

    private static FileStream Create(string output) => new(output, FileMode.Create, FileAccess.Write, FileShare.Read, BufferBytes);

    private static async Task<HttpResponseMessage> AskAsync(HttpClient http, Uri address, string query)
    {
        var answer = await http.SendAsync(
            new HttpRequestMessage(HttpMethod.Post, address) { Content = new StringContent(query) }, HttpCompletionOption.ResponseHeadersRead);
        return answer.IsSuccessStatusCode ? answer : throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
    }

    private sealed class CountedStream(Stream inner) : Stream
    {
        public long Count { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => Count;
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            Count += read;
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}

/// <summary>A row as the old way knows it.</summary>
internal sealed record OldWayRow(
    [property: JsonPropertyName("uuid")] Guid Uuid,
    [property: JsonPropertyName("timestamp")] string Timestamp,
    [property: JsonPropertyName("event")] string Event,
    [property: JsonPropertyName("team_id")] long TeamId,
    [property: JsonPropertyName("distinct_id")] string DistinctId,
    [property: JsonPropertyName("properties")] string Properties,
    [property: JsonPropertyName("person_id")] Guid PersonId);

/// <summary>How it is parsed and written: generated, without reflection.</summary>
[JsonSourceGenerationOptions(DefaultBufferSize = 1 << 20, NumberHandling = JsonNumberHandling.AllowReadingFromString)]
[JsonSerializable(typeof(OldWayRow))]
internal sealed partial class OldWayContext : JsonSerializerContext;

using System.Text.Json.Nodes;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Compatibility;

/// <summary>A bucket of its own at a server, destinations that lead there, and what lies in it.</summary>
internal sealed class S3Place : IDisposable
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private readonly S3Server _server;
    private readonly string _bucket;
    private readonly AmazonS3Client _client;

    private S3Place(S3Server server, string bucket, AmazonS3Client client) => (_server, _bucket, _client) = (server, bucket, client);

    public static async Task<S3Place> MakeAsync(S3Server server)
    {
        var client = new AmazonS3Client(
            new BasicAWSCredentials(server.AccessKey, server.SecretKey),
            new AmazonS3Config
            {
                ServiceURL = server.Endpoint.ToString(),
                ForcePathStyle = true,
                AuthenticationRegion = "us-east-1",
                MaxErrorRetry = 8,
                RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
                ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
            });
        var bucket = "b" + Guid.NewGuid().ToString("N");
        await client.PutBucketAsync(bucket);
        return new S3Place(server, bucket, client);
    }

    public static SliceAddress Slice(long token = 1) => new("events", Day, 0, 1, token);

    public static RunManifest Manifest(SliceReceipt receipt) => new() { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] };

    /// <summary>Writes a slice and commits it. 6,000 rows are 12 MB: two whole parts and the start of a third.</summary>
    public static async Task<SliceReceipt> ExportAsync(IDestination destination, int rows, long token = 1)
    {
        await using var sink = await OpenAsync(destination, token);
        await WriteAsync(sink, rows);
        return await sink.CommitAsync(CancellationToken.None);
    }

    public static Task<ISliceSink> OpenAsync(IDestination destination, long token) =>
        destination.OpenSliceAsync(Slice(token), TestBatches.Schema, CancellationToken.None);

    public static async Task WriteAsync(ISliceSink sink, int rows, int from = 0)
    {
        for (var at = 0; at < rows; at += 1_000)
        {
            using var batch = TestBatches.Rows(from + at, Math.Min(1_000, rows - at), textLength: 2_000);
            await sink.WriteAsync(batch, CancellationToken.None);
        }
    }

    public static async Task<CheckResult> LastCheckAsync(IDestination destination) => (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

    /// <summary>A destination in the bucket, in parts of 5 MiB, three at once, with these settings.</summary>
    public IDestination Destination(params (string Setting, object Value)[] given)
    {
        var settings = new JsonObject
        {
            ["bucket"] = _bucket, ["endpoint"] = _server.Endpoint.ToString(), ["part_size"] = 5 * 1024 * 1024, ["parallel_parts"] = 3, ["timeout_seconds"] = 30,
        };
        var secrets = new Dictionary<string, string> { ["access_key"] = _server.AccessKey, ["secret_key"] = _server.SecretKey };
        foreach (var (setting, value) in given)
        {
            if (secrets.ContainsKey(setting))
            {
                secrets[setting] = (string)value;
            }
            else
            {
                settings[setting] = value is bool yes ? JsonValue.Create(yes) : JsonValue.Create((string)value);
            }
        }

        return DestinationKinds.Open(
            new Destination { Name = "s3", Kind = "s3", Settings = settings, Secrets = secrets },
            new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None });
    }

    public async Task<GetObjectMetadataResponse> HeadAsync(string key) => await _client.GetObjectMetadataAsync(_bucket, key);

    public async Task<List<string>> KeysAsync() =>
        [.. ((await _client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = _bucket })).S3Objects ?? []).Select(found => found.Key)];

    public async Task<int> UploadsAsync() =>
        (await _client.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = _bucket })).MultipartUploads?.Count ?? 0;

    /// <summary>Whether the slice's object has the bytes of its receipt, and no other slice is there.</summary>
    public async Task<bool> IsThereAsync(SliceReceipt receipt)
    {
        using var found = await _client.GetObjectAsync(_bucket, receipt.File);
        using var content = new MemoryStream();
        await found.ResponseStream.CopyToAsync(content);
        return Destinations.SliceBytes.Sha256(content.ToArray()) == receipt.Sha256 && (await KeysAsync()).Count(key => key.Contains("slice-", StringComparison.Ordinal)) == 1;
    }

    public void Dispose() => _client.Dispose();
}

/// <summary>A server that speaks S3.</summary>
/// <param name="Name">With its version.</param>
/// <param name="Endpoint">Its address.</param>
/// <param name="AccessKey">Of a user who may do everything.</param>
/// <param name="SecretKey">That user's.</param>
internal sealed record S3Server(string Name, Uri Endpoint, string AccessKey, string SecretKey);

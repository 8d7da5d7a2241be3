using Amazon.S3.Model;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Destinations;

public sealed class S3Contract : DestinationContract
{
    private LocalS3 _server = null!;
    private string _bucket = "";

    [SetUp]
    public async Task MakeBucketAsync()
    {
        _server = await TestServers.S3Async();
        _bucket = await _server.CreateBucketAsync();
    }

    protected override IDestination Make(FormatOptions format) => DestinationKinds.Open(
        new Destination
        {
            Name = "s3",
            Kind = "s3",
            Settings = new() { ["bucket"] = _bucket, ["prefix"] = "team/a", ["endpoint"] = _server.Endpoint.ToString(), ["part_size"] = 5 * 1024 * 1024 },
            Secrets = new Dictionary<string, string> { ["access_key"] = _server.AccessKey, ["secret_key"] = _server.SecretKey },
        },
        format);

    protected override async Task<IReadOnlyList<string>> VisibleAsync()
    {
        using var client = _server.CreateClient();
        var page = await client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = _bucket });
        return [.. (page.S3Objects ?? []).Select(found => found.Key).Order(StringComparer.Ordinal)];
    }

    protected override async Task<IReadOnlyList<string>> HiddenAsync()
    {
        using var client = _server.CreateClient();
        var page = await client.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = _bucket });
        return [.. (page.MultipartUploads ?? []).Select(upload => upload.Key)];
    }

    protected override async Task<byte[]> BytesAsync(string key)
    {
        using var client = _server.CreateClient();
        using var found = await client.GetObjectAsync(_bucket, key);
        using var content = new MemoryStream();
        await found.ResponseStream.CopyToAsync(content);
        return content.ToArray();
    }
}

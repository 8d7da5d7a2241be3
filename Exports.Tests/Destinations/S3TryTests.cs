using System.Globalization;
using Amazon.S3.Model;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The objects by which it is tried whether a server honours conditions.</summary>
public sealed class S3TryTests
{
    [Test]
    public async Task What_a_process_that_was_killed_has_left_of_its_try_is_removed_by_a_later_one()
    {
        var server = await TestServers.S3Async();
        var bucket = await server.CreateBucketAsync();
        using var client = server.CreateClient();
        var now = TimeProvider.System.GetUtcNow();
        var (old, fresh) = (Key(now.AddMinutes(-11)), Key(now.AddMinutes(-9)));
        foreach (var key in (string[])[old, fresh, "team/kept"])
        {
            await client.PutObjectAsync(new PutObjectRequest { BucketName = bucket, Key = key, ContentBody = "exporter", UseChunkEncoding = false });
        }

        await using var destination = new S3Destination(
            new S3Options
            {
                Bucket = bucket, Prefix = "team", Endpoint = server.Endpoint.ToString(), AccessKey = server.AccessKey, SecretKey = server.SecretKey,
            }.Validate(),
            new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None });
        await using (var sink = await destination.OpenSliceAsync(
            new SliceAddress("events", new DataInterval(now.AddDays(-1), now), 0, 1, 1), TestBatches.Schema, default))
        {
            using var batch = TestBatches.Rows(0, 10);
            await sink.WriteAsync(batch, default);
            await sink.CommitAsync(default);
        }

        var there = (await client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = bucket })).S3Objects.Select(found => found.Key).ToList();
        Assert.That(there, Does.Not.Contain(old));
        Assert.That(there, Does.Contain(fresh).And.Contain("team/kept"), "another process may be trying at this moment");
        Assert.That(there, Has.Count.EqualTo(3));
    }

    private static string Key(DateTimeOffset time) =>
        string.Create(CultureInfo.InvariantCulture, $"team/.exporter-try-{time:yyyyMMddHHmmss}-0123456789abcdef0123456789abcdef");
}

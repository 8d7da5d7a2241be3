using System.Text;
using Amazon.S3.Model;

namespace Exporter.Exports.Tests.Testing;

internal sealed class LocalS3Tests
{
    [Test]
    public async Task Objects_survive_the_death_of_the_gateway()
    {
        var server = await TestServers.S3Async();
        var bucket = await server.CreateBucketAsync();
        using var client = server.CreateClient();
        await client.PutObjectAsync(new PutObjectRequest
        {
            BucketName = bucket, Key = "a/b", InputStream = new MemoryStream("hello"u8.ToArray()), UseChunkEncoding = false,
        });
        await server.KillGatewayAsync();
        await server.StartGatewayAsync();
        using var found = await client.GetObjectAsync(bucket, "a/b");
        using var reader = new StreamReader(found.ResponseStream, Encoding.UTF8);
        Assert.That(await reader.ReadToEndAsync(), Is.EqualTo("hello"));
    }
}

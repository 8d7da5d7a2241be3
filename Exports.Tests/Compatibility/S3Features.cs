using Amazon.S3;
using Exporter.Exports.Destinations;
using Exporter.Exports.Testing;
using static Exporter.Exports.Tests.Compatibility.S3Place;

namespace Exporter.Exports.Tests.Compatibility;

/// <summary>Something that the S3 destination asks of a server.</summary>
/// <param name="Name">As it stands in the table.</param>
/// <param name="HonoursAsync">Tries it in a bucket of its own; false: the request is taken, and not honoured.</param>
internal sealed record S3Feature(string Name, Func<S3Place, Task<bool>> HonoursAsync);

/// <summary>All that is tried, with the destination itself; the server's own words are looked at where it says what it did.</summary>
internal static class S3Features
{
    private const int Small = 10;
    private const int Large = 6_000;

    public static IReadOnlyList<S3Feature> All { get; } =
    [
        new("`exporter destination test` passes", ChecksAsync),
        new("a slice in one request, its bytes as in the receipt", place => ArrivesAsync(place, Small)),
        new("a slice in parts, three at once, its bytes as in the receipt", place => ArrivesAsync(place, Large)),
        new("bodies in chunks with a checksum behind (`chunked: true`), one request", place => ArrivesAsync(place, Small, ("chunked", true))),
        new("bodies in chunks with a checksum behind, in parts", place => ArrivesAsync(place, Large, ("chunked", true))),
        new("what a dead attempt had uploaded is listed and thrown away", ThrowsAwayAsync),
        new("a slice that is committed twice is there once", RepeatsAsync),
        new("a frozen attempt cannot complete its upload after another has finished", place => FencesAsync(place, Large)),
        new("a frozen attempt of a small slice replaces nothing (conditional write)", place => FencesAsync(place, Small)),
        new("the manifest replaces only the one that lay there (conditional write)", ManifestsAsync),
        new("a wrong secret is named as such", place => NamesAsync(place, "secret_key", "wrong")),
        new("an unknown key is named as such", place => NamesAsync(place, "access_key", "nobody")),
        new("a missing bucket is named as such", place => NamesAsync(place, "bucket", "no-such-bucket")),
        new("`expected_bucket_owner`: another's bucket is refused", OwnsAsync),
        new("`encryption: sse_s3`, said back", place => SaysBackAsync(place, found => found.ServerSideEncryptionMethod?.Value, "AES256", ("encryption", "sse_s3"))),
        new("`encryption: sse_kms` with `kms_key`, said back", place => SaysBackAsync(
            place, found => found.ServerSideEncryptionMethod?.Value, "aws:kms", ("encryption", "sse_kms"), ("kms_key", CephConfiguration.KmsKey))),
        new("`storage_class: STANDARD_IA`, said back", place => SaysBackAsync(place, found => found.StorageClass?.Value, "STANDARD_IA", ("storage_class", "STANDARD_IA"))),
    ];

    private static async Task<bool> ChecksAsync(S3Place place)
    {
        await using var destination = place.Destination();
        var last = await LastCheckAsync(destination);
        return last is { Step: "clean up", Ok: true } && (await place.KeysAsync()).Count == 0;
    }

    private static async Task<bool> ArrivesAsync(S3Place place, int rows, params (string, object)[] settings)
    {
        await using var destination = place.Destination(settings);
        var receipt = await ExportAsync(destination, rows);
        return await place.IsThereAsync(receipt);
    }

    private static async Task<bool> ThrowsAwayAsync(S3Place place)
    {
        await using var dead = place.Destination();
        var sink = await OpenAsync(dead, token: 1);
        await WriteAsync(sink, Large);
        var before = await place.UploadsAsync();
        await using var destination = place.Destination();
        await using var next = await OpenAsync(destination, token: 2);
        var after = await place.UploadsAsync();
        await sink.DisposeAsync();
        return (before, after) == (1, 0);
    }

    private static async Task<bool> RepeatsAsync(S3Place place)
    {
        await using var destination = place.Destination();
        await ExportAsync(destination, Large);
        return await place.IsThereAsync(await ExportAsync(destination, Small, token: 2));
    }

    // Other rows than the heir's, so that a replacement shows.
    private static async Task<bool> FencesAsync(S3Place place, int rows)
    {
        await using var destination = place.Destination();
        await using var frozen = await OpenAsync(destination, token: 1);
        await WriteAsync(frozen, rows, from: 100_000);
        var receipt = await ExportAsync(destination, rows, token: 2);
        try
        {
            await frozen.CommitAsync(CancellationToken.None);
            return false;
        }
        catch (AmazonS3Exception error) when (destination.Classify(error) is { Kind: ErrorKind.Transient })
        {
            return await place.IsThereAsync(receipt);
        }
    }

    private static async Task<bool> ManifestsAsync(S3Place place)
    {
        await using var destination = place.Destination();
        var manifest = Manifest(await ExportAsync(destination, Small));
        await destination.FinishAsync(manifest, CancellationToken.None);
        await destination.FinishAsync(manifest, CancellationToken.None);
        var results = await destination.CheckAsync(CancellationToken.None).ToListAsync();
        return results.Exists(result => result.Detail.EndsWith("conditional writes are honoured.", StringComparison.Ordinal));
    }

    private static async Task<bool> NamesAsync(S3Place place, string setting, string wrong)
    {
        await using var destination = place.Destination((setting, wrong));
        return (await LastCheckAsync(destination)).Detail.Contains($"Setting: {setting}.", StringComparison.Ordinal);
    }

    private static async Task<bool> OwnsAsync(S3Place place)
    {
        await using var destination = place.Destination(("expected_bucket_owner", "123456789012"));
        return !(await LastCheckAsync(destination)).Ok;
    }

    private static async Task<bool> SaysBackAsync(
        S3Place place, Func<Amazon.S3.Model.GetObjectMetadataResponse, string?> word, string expected, params (string, object)[] settings)
    {
        await using var destination = place.Destination(settings);
        var receipt = await ExportAsync(destination, Small);
        return await place.IsThereAsync(receipt) && word(await place.HeadAsync(receipt.File!)) == expected;
    }
}

using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Staging;

/// <summary>
/// Parquet files on their way into a warehouse, in a bucket. A file's name has the claim that wrote it and is never used again: nobody
/// can load other bytes under a name that is known.
/// </summary>
internal sealed class StagedFiles(S3Options s3) : IDisposable
{
    private const string Extension = ".parquet";

    private readonly S3Bucket _bucket = new(s3, http: null);
    private readonly SliceKeys _keys = new(StageSettings.Prefix + S3Options.PrefixSetting, s3.Prefix, Extension);

    /// <summary>The bucket, for messages.</summary>
    public string Place => s3.Bucket;

    /// <summary>Where a claim's file lies.</summary>
    public string Key(SliceAddress address, string claim) => Start(address) + claim + Extension;

    /// <summary>Its URL, as warehouses say it.</summary>
    public string Url(string key) => $"s3://{s3.Bucket}/{key}";

    /// <summary>Where the check's file lies.</summary>
    public string CheckKey(Guid id) => $"{_keys.Start}.exporter-check-{id:N}{Extension}";

    /// <summary>Begins a file.</summary>
    public ISliceSink Open(FormatOptions format, Schema schema, SliceAddress address, string key) => new S3SliceSink(_bucket, format, schema, address, key, before: null);

    /// <summary>Writes a small text beside the files.</summary>
    public async Task WriteAsync(string key, byte[] content, string contentType, CancellationToken cancellationToken)
    {
        using var stream = new MemoryStream(content, writable: false);
        await _bucket.PutAsync(key, stream, Guid.NewGuid(), contentType, null, cancellationToken).ConfigureAwait(false);
    }

    public Task RemoveAsync(string key, CancellationToken cancellationToken) => _bucket.DeleteAsync(key, cancellationToken);

    /// <summary>Removes what dead attempts left of a slice; they can no longer complete an upload.</summary>
    public Task RemoveAsync(SliceAddress address, CancellationToken cancellationToken) => RemoveAllAsync(Start(address), cancellationToken);

    /// <summary>Removes what is left of an interval.</summary>
    public Task RemoveAsync(RunManifest manifest, CancellationToken cancellationToken) =>
        RemoveAllAsync(_keys.Folder(manifest.Export, manifest.Interval, manifest.Table) + "slice-", cancellationToken);

    public ExportError? Classify(Exception error) => S3Errors.Sort(error, s3) is { } sorted
        ? sorted with { Setting = sorted.Setting is { } setting && error is not UserErrorException ? StageSettings.Prefix + setting : sorted.Setting }
        : null;

    public void Dispose() => _bucket.Dispose();

    private string Start(SliceAddress address) =>
        _keys.Folder(address.Export, address.Interval, address.Table) + string.Create(CultureInfo.InvariantCulture, $"slice-{address.Slice:D5}-");

    private async Task RemoveAllAsync(string start, CancellationToken cancellationToken)
    {
        await foreach (var (key, upload) in _bucket.UploadsAsync(start, cancellationToken).ConfigureAwait(false))
        {
            await _bucket.AbortAsync(key, upload, cancellationToken).ConfigureAwait(false);
        }

        await foreach (var (key, _) in _bucket.ObjectsAsync(start, cancellationToken).ConfigureAwait(false))
        {
            await _bucket.DeleteAsync(key, cancellationToken).ConfigureAwait(false);
        }
    }
}

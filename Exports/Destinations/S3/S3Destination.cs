using Amazon.Runtime;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.S3;

/// <summary>Objects in a bucket. An object appears under its key whole, or not at all.</summary>
internal sealed class S3Destination(S3Options options, FormatOptions format, HttpClientFactory? http = null) : IDestination
{
    internal const string SliceContentType = "application/octet-stream";

    private readonly S3Bucket _bucket = new(options, http);
    private readonly SliceKeys _keys = new(S3Options.PrefixSetting, options.Prefix, EncoderFactory.FileExtension(format));
    private readonly EarlierManifests _manifests = new();

    public bool TakesNestedValues => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new S3Check(this, _bucket, options.Bucket, _keys.Start).RunAsync(cancellationToken);

    public Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) => PlannedCommit.FindAsync(
        address, _keys.Slice(address), planned => _bucket.IsFromAsync(planned.Receipt.File!, planned.Writer, planned.Receipt.Bytes, cancellationToken));

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        // What a dead attempt sent costs money until it is thrown away; and a frozen one that comes back must not complete.
        var key = _keys.Slice(address);
        await foreach (var (found, upload) in _bucket.UploadsAsync(key, cancellationToken).ConfigureAwait(false))
        {
            if (found == key)
            {
                await _bucket.AbortAsync(found, upload, cancellationToken).ConfigureAwait(false);
            }
        }

        // Here and not at the commit: a frozen attempt that comes back must not remove the manifest of a finished run.
        await _manifests.GoneAsync(_keys.Manifest(address.Export, address.Interval, address.Table), _bucket.DeleteAsync, cancellationToken).ConfigureAwait(false);
        var before = await _bucket.StateAsync(key, _keys.Start, cancellationToken).ConfigureAwait(false);
        return new S3SliceSink(_bucket, format, schema, address, key, before) { IsSlice = true };
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var document = ManifestDocument.Of(manifest);
        var folder = _keys.Folder(manifest.Export, manifest.Interval, manifest.Table);
        var manifestKey = _keys.Manifest(manifest.Export, manifest.Interval, manifest.Table);
        var before = await _bucket.StateAsync(manifestKey, _keys.Start, cancellationToken).ConfigureAwait(false);
        var found = new Dictionary<string, long>(StringComparer.Ordinal);
        await foreach (var (key, bytes) in _bucket.ObjectsAsync(folder, cancellationToken).ConfigureAwait(false))
        {
            found[key] = bytes;
        }

        document.Check(found, S3Options.BucketSetting, options.Bucket);

        // A manifest must not stand beside objects that it does not list, so these go first.
        var listed = document.Files.Select(file => file.File).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in found.Keys.Where(key => SliceKeys.IsSliceName(key[folder.Length..]) && !listed.Contains(key)))
        {
            if (await _manifests.GoneAsync(manifestKey, _bucket.DeleteAsync, cancellationToken).ConfigureAwait(false))
            {
                before = before is null ? null : new ObjectState(null);
            }

            await _bucket.DeleteAsync(stale, cancellationToken).ConfigureAwait(false);
        }

        await foreach (var (key, upload) in _bucket.UploadsAsync(folder, cancellationToken).ConfigureAwait(false))
        {
            if (SliceKeys.IsSliceName(key[folder.Length..]))
            {
                await _bucket.AbortAsync(key, upload, cancellationToken).ConfigureAwait(false);
            }
        }

        using var content = new MemoryStream(document.ToBytes());
        await _bucket.PutAsync(manifestKey, content, manifest.RunId, "application/json", before, cancellationToken).ConfigureAwait(false);
        _manifests.Written(manifestKey);
    }

    public ColumnLimit? LimitOf(Field field) => FileLimits.Of(format, field);

    public ExportError? Classify(Exception exception) => S3Errors.Sort(exception, options);

    public ValueTask DisposeAsync()
    {
        _bucket.Dispose();
        return ValueTask.CompletedTask;
    }
}

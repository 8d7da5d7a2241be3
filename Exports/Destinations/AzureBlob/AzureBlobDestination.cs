using Apache.Arrow;
using Azure.Core.Pipeline;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>Block blobs in a container. A blob appears under its name whole, or not at all.</summary>
internal sealed class AzureBlobDestination(AzureBlobOptions options, FormatOptions format, HttpPipelineTransport? transport = null) : IDestination
{
    private readonly AzureContainer _container = new(options, transport);
    private readonly SliceKeys _keys = new(AzureBlobOptions.PrefixSetting, options.Prefix, EncoderFactory.FileExtension(format));
    private readonly EarlierManifests _manifests = new();

    public bool TakesNestedValues => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new AzureBlobCheck(this, _container, options, _keys.Start).RunAsync(cancellationToken);

    public Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) => PlannedCommit.FindAsync(
        address, _keys.Slice(address), planned => _container.IsFromAsync(planned.Receipt.File!, planned.Writer, planned.Receipt.Bytes, cancellationToken));

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var key = _keys.Slice(address);

        // Here and not at the commit: a frozen attempt that comes back must not remove the manifest of a finished run.
        await _manifests.GoneAsync(_keys.Manifest(address.Export, address.Interval, address.Table), _container.DeleteAsync, cancellationToken).ConfigureAwait(false);
        var writer = Guid.NewGuid();
        var before = await _container.TagAsync(key, cancellationToken).ConfigureAwait(false);
        if (before is null)
        {
            await _container.ClaimAsync(key, writer, cancellationToken).ConfigureAwait(false);
        }

        return new AzureBlobSliceSink(_container, format, schema, address, key, writer, before);
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var document = ManifestDocument.Of(manifest);
        var folder = _keys.Folder(manifest.Export, manifest.Interval, manifest.Table);
        var manifestKey = _keys.Manifest(manifest.Export, manifest.Interval, manifest.Table);
        var before = await _container.TagAsync(manifestKey, cancellationToken).ConfigureAwait(false);
        var found = new Dictionary<string, long>(StringComparer.Ordinal);
        await foreach (var (name, bytes) in _container.BlobsAsync(folder, cancellationToken).ConfigureAwait(false))
        {
            found[name] = bytes;
        }

        document.Check(found, AzureBlobOptions.ContainerSetting, options.Container);

        // A manifest must not stand beside blobs that it does not list, not even empty ones for a moment, so these go first.
        var listed = document.Files.Select(file => file.File).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in found.Keys.Where(name => SliceKeys.IsSliceName(name[folder.Length..]) && !listed.Contains(name)))
        {
            before = await _manifests.GoneAsync(manifestKey, _container.DeleteAsync, cancellationToken).ConfigureAwait(false) ? null : before;
            await _container.DeleteAsync(stale, cancellationToken).ConfigureAwait(false);
        }

        await foreach (var name in _container.BegunAsync(folder, cancellationToken).ConfigureAwait(false))
        {
            if (SliceKeys.IsSliceName(name[folder.Length..]) && !listed.Contains(name))
            {
                before = await _manifests.GoneAsync(manifestKey, _container.DeleteAsync, cancellationToken).ConfigureAwait(false) ? null : before;
                await _container.DropBlocksAsync(name, cancellationToken).ConfigureAwait(false);
            }
        }

        await _container.PutAsync(manifestKey, document.ToBytes(), "application/json", before, manifest.RunId, cancellationToken).ConfigureAwait(false);
        _manifests.Written(manifestKey);
    }

    public ColumnLimit? LimitOf(Field field) => FileLimits.Of(format, field);

    public ExportError? Classify(Exception exception) => AzureBlobErrors.Sort(exception, options);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

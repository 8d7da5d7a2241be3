using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Files;

/// <summary>
/// A slice on its way into a file. A later attempt removes this one's temporary file, so a frozen worker that comes back
/// finds nothing to rename.
/// </summary>
internal sealed class FileSliceSink(
    FilesDestination destination, FormatOptions format, Schema schema, SliceAddress address, string folder, SliceKeys keys,
    Func<string, FileStream> open) : ISliceSink
{
    private const long DrainBytes = 1024 * 1024;
    private readonly string _temporary = Path.Combine(folder, TemporaryName.OfSlice(address));
    private readonly string _path = Path.Combine(folder, keys.SliceName(address.Slice));
    private EncodedSlice? _encoded;
    private FileStream? _file;
    private bool _ended;

    public long BytesSent { get; private set; }

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        _file ??= open(_temporary);
        _encoded ??= new EncodedSlice(format, schema, address);
        await _encoded.EncodeAsync(batch, cancellationToken).ConfigureAwait(false);
        if (_encoded.Output.Buffered >= DrainBytes)
        {
            await DrainAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (_encoded is null)
        {
            _ended = true;
            if (File.Exists(_path))
            {
                destination.ManifestGone(folder);
                File.Delete(_path);
                FileFolder.Sync(folder);
            }

            return EncodedSlice.EmptyReceipt(address.Slice);
        }

        await _encoded.CompleteAsync(cancellationToken).ConfigureAwait(false);
        await DrainAsync(cancellationToken).ConfigureAwait(false);
        await FileFolder.FlushAsync(_file!, cancellationToken).ConfigureAwait(false);
        await _file!.DisposeAsync().ConfigureAwait(false);
        _file = null;
        if (!File.Exists(_temporary))
        {
            throw new IOException($"{_temporary} is gone: a later attempt has opened this slice.");
        }

        destination.ManifestGone(folder);
        File.Move(_temporary, _path, overwrite: true);
        FileFolder.Sync(folder);
        _ended = true;
        return _encoded.Receipt(address.Slice, keys.Slice(address));
    }

    public async ValueTask DisposeAsync()
    {
        _encoded?.Dispose();
        _encoded = null;
        if (_file is { } file)
        {
            _file = null;
            await file.DisposeAsync().ConfigureAwait(false);
        }

        if (!_ended)
        {
            _ended = true;
            try
            {
                File.Delete(_temporary);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // The next attempt of the slice removes it, or the end of the run.
            }
        }
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        using var bytes = _encoded!.Output.TakeAll();
        await bytes.CopyToAsync(_file!, cancellationToken).ConfigureAwait(false);
        BytesSent += bytes.Length;
    }
}

using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Files;

/// <summary>
/// A slice on its way into a file. The temporary file is there from the slice's opening on, and a later attempt, or the end of the run, removes it: a
/// frozen worker that comes back finds nothing to rename, and removes nothing.
/// </summary>
/// <param name="format">What the file holds.</param>
/// <param name="schema">Its columns.</param>
/// <param name="address">Which slice it is.</param>
/// <param name="file">The temporary file, open.</param>
/// <param name="temporary">Its path.</param>
/// <param name="path">The path that it gets.</param>
/// <param name="key">The same below the destination's root.</param>
internal sealed class FileSliceSink(
    FormatOptions format, Schema schema, SliceAddress address, FileStream file, string temporary, string path, string key) : ISliceSink
{
    private const long DrainBytes = 1024 * 1024;
    private EncodedSlice? _encoded;
    private string? _note;
    private bool _ended;

    public long BytesSent { get; private set; }

    public void Note(string note) => _note = note;

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

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
        cancellationToken.ThrowIfCancellationRequested();
        if (_encoded is null)
        {
            var nothing = EncodedSlice.EmptyReceipt(address.Slice);
            await file.DisposeAsync().ConfigureAwait(false);
            await PlanAsync(nothing, cancellationToken).ConfigureAwait(false);
            CheckTemporary();
            File.Delete(path);
            File.Delete(temporary);
            _ended = true;
            FileFolder.Sync(Path.GetDirectoryName(path)!);
            return nothing;
        }

        await _encoded.CompleteAsync(cancellationToken).ConfigureAwait(false);
        await DrainAsync(cancellationToken).ConfigureAwait(false);
        await FileFolder.FlushAsync(file, cancellationToken).ConfigureAwait(false);
        await file.DisposeAsync().ConfigureAwait(false);
        var receipt = _encoded.Receipt(address.Slice, key);
        await PlanAsync(receipt, cancellationToken).ConfigureAwait(false);
        CheckTemporary();
        File.Move(temporary, path, overwrite: true);
        FileFolder.Sync(Path.GetDirectoryName(path)!);
        _ended = true;
        return receipt;
    }

    public async ValueTask DisposeAsync()
    {
        _encoded?.Dispose();
        _encoded = null;
        await file.DisposeAsync().ConfigureAwait(false);
        if (!_ended)
        {
            _ended = true;
            try
            {
                File.Delete(temporary);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // The next attempt of the slice removes it, or the end of the run.
            }
        }
    }

    private Task PlanAsync(SliceReceipt receipt, CancellationToken cancellationToken) =>
        new PlannedCommit(receipt, Guid.Empty, _note).RecordAsync(address, cancellationToken);

    private void CheckTemporary()
    {
        if (!File.Exists(temporary))
        {
            throw new IOException($"{temporary} is gone: a later attempt has opened this slice.");
        }
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        using var bytes = _encoded!.Output.TakeAll();
        await bytes.CopyToAsync(file, cancellationToken).ConfigureAwait(false);
        BytesSent += bytes.Length;
    }
}

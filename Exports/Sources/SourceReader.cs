using Apache.Arrow;
using Apache.Arrow.Ipc;

namespace Exporter.Exports.Sources;

/// <summary>
/// The rows of one query, batch by batch, as ClickHouse sends them. It ends well only if ClickHouse said that it was done: a stream
/// that broke off is an error, with ClickHouse's own words when it left any. Disposed of early, it kills its query.
/// </summary>
internal sealed class SourceReader : IAsyncDisposable
{
    private static readonly byte[] EndOfStream = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

    private readonly TailStream _stream;
    private readonly ArrowStreamReader _arrow;
    private readonly Func<Task> _kill;
    private bool _ended;

    private SourceReader(TailStream stream, Func<Task> kill)
    {
        _stream = stream;
        _kill = kill;
        _arrow = new ArrowStreamReader(stream, BatchAllocator.Shared, new Lz4Frames(), leaveOpen: true);
    }

    /// <summary>The columns.</summary>
    public Schema Schema { get; private set; } = null!;

    /// <summary>Bytes that came over the wire so far.</summary>
    public long BytesRead => _stream.BytesRead;

    /// <summary>Takes over the stream; answers when the schema is known.</summary>
    public static async Task<SourceReader> OpenAsync(TailStream stream, Func<Task> kill, CancellationToken cancellationToken)
    {
        var reader = new SourceReader(stream, kill);
        try
        {
            reader.Schema = await reader.GuardedAsync(
                async () => await reader._arrow.GetSchema(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
            return reader;
        }
        catch
        {
            await reader.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The next batch, which the caller disposes of; null after the last one.</summary>
    /// <exception cref="SourceException">ClickHouse failed, or the stream broke off.</exception>
    public async ValueTask<RecordBatch?> NextAsync(CancellationToken cancellationToken)
    {
        if (_ended)
        {
            return null;
        }

        return await GuardedAsync(
            async () =>
            {
                var batch = await _arrow.ReadNextRecordBatchAsync(cancellationToken).ConfigureAwait(false);
                if (batch is null)
                {
                    await _stream.DrainAsync(cancellationToken).ConfigureAwait(false);
                    if (!_stream.Tail(EndOfStream.Length).AsSpan().SequenceEqual(EndOfStream))
                    {
                        throw new InvalidDataException("The stream ends before its end was marked.");
                    }

                    _ended = true;
                }

                return batch;
            },
            cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_ended)
        {
            _ended = true;
            await _kill().ConfigureAwait(false);
        }

        _arrow.Dispose();
        await _stream.DisposeAsync().ConfigureAwait(false);
    }

    // Whatever the Arrow reader makes of a broken stream, ClickHouse's words at its end say more.
    private async Task<T> GuardedAsync<T>(Func<Task<T>> read, CancellationToken cancellationToken)
    {
        try
        {
            return await read().ConfigureAwait(false);
        }
        catch (Exception error) when (error is not TimeoutException && !cancellationToken.IsCancellationRequested)
        {
            try
            {
                await _stream.DrainAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (Exception again) when (again is IOException or HttpRequestException or ObjectDisposedException)
            {
                // It was broken already; what came before is what there is.
            }

            throw SourceException.Parse(_stream.TailText(), error)
                ?? new SourceException(0, $"The rows broke off after {_stream.BytesRead:N0} bytes: {error.Message}", error);
        }
    }
}

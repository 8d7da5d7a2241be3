using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A slice that a claim has open.</summary>
internal sealed record BigQuerySlice(SliceAddress Address, BigQueryClaim Claim, BigQueryStatements Statements, IReadOnlyList<BigQueryColumn> Columns, Schema Schema);

/// <summary>
/// A slice on its way: its rows into a load job, while they come; at the commit the loaded rows into the target, with the slice's commit, in one
/// transaction. Job and staging table are the claim's own, so nothing of another attempt is ever among its rows. While a chunk is sent the
/// next one is encoded, so two chunks are held at most, and a row group.
/// </summary>
internal sealed class BigQuerySliceSink(
    BigQuerySlice slice, BigQueryOptions options, IBigQueryClient client, BigQueryCommitter committer, FormatOptions format, TimeProvider time) : ISliceSink
{
    private static readonly TimeSpan ReleaseLimit = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _closing = new();
    private readonly StagedRows _staged = StagedBatches.Of(slice.Columns, slice.Schema, options.IsMerge);
    private readonly string _stage = BigQueryStatements.StageOf(slice.Claim.Id);
    private readonly string _job = BigQueryCommits.JobOf(slice.Address, slice.Claim.Id);
    private EncodedSlice? _encoded;
    private IBigQueryLoad? _load;
    private Task _sending = Task.CompletedTask;
    private string? _note;
    private bool _isStaged;
    private bool _ended;

    public long BytesSent => _load?.Sent ?? 0;

    public void Note(string note) => _note = note;

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        _encoded ??= new EncodedSlice(format, _staged.Schema, slice.Address);
        await _encoded.EncodeAsync(_staged.Convert(batch), cancellationToken).ConfigureAwait(false);
        await SendFullChunksAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        var (rows, bytes) = (0L, 0L);
        if (_encoded is not null)
        {
            await _encoded.CompleteAsync(cancellationToken).ConfigureAwait(false);
            await SendFullChunksAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
            (rows, bytes) = (_encoded.Rows, _encoded.Output.Length);
            await LoadAsync(_encoded.Output.TakeAll(), rows, cancellationToken).ConfigureAwait(false);
        }

        cancellationToken.ThrowIfCancellationRequested();
        var commit = new BigQueryCommit(slice.Claim.Id, slice.Address.StepKey, rows, bytes, _note);
        await committer.CommitAsync(new WaitingSlice(new StagedSlice(slice.Claim, commit, _isStaged ? _stage : null), slice.Statements, _job), cancellationToken).ConfigureAwait(false);
        _ended = true;
        await ReleaseAsync().ConfigureAwait(false);
        return new SliceReceipt { Slice = slice.Address.Slice, Rows = rows, Bytes = bytes };
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _encoded?.Dispose();
        _encoded = null;
        if (!_ended)
        {
            _ended = true;
            await ReleaseAsync().ConfigureAwait(false);
        }

        _closing.Dispose();
    }

    // The last byte begins the job, so the last chunk always has some.
    private async Task SendFullChunksAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        while (output.Buffered > options.ChunkSize)
        {
            await _sending.ConfigureAwait(false);
            var load = await BeginAsync(cancellationToken).ConfigureAwait(false);
            _sending = SendAsync(load, output.Take(options.ChunkSize), cancellationToken);
        }
    }

    private async Task SendAsync(IBigQueryLoad load, ChunkedBytes bytes, CancellationToken cancellationToken)
    {
        using var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token);
        await load.SendAsync(bytes, sending.Token).ConfigureAwait(false);
    }

    private async Task LoadAsync(ChunkedBytes last, long rows, CancellationToken cancellationToken)
    {
        await _sending.ConfigureAwait(false);
        var load = await BeginAsync(cancellationToken).ConfigureAwait(false);
        var loaded = await load.CompleteAsync(last, cancellationToken).ConfigureAwait(false);

        // The transaction counts them again, where they are.
        if (loaded is not null && loaded != rows)
        {
            throw new BigQueryException($"Of {rows} rows {loaded} were loaded.") { Status = 200, Reason = BigQueryErrors.UploadGone };
        }
    }

    private async Task<IBigQueryLoad> BeginAsync(CancellationToken cancellationToken)
    {
        if (_load is null)
        {
            _isStaged = true;
            var columns = slice.Statements.StagedColumns();
            await client.CreateAsync(new BigQueryNewTable(_stage, columns) { Expires = time.GetUtcNow().AddHours(options.StagingHours) }, cancellationToken).ConfigureAwait(false);
            _load = await client.LoadAsync(_job + "_load", _stage, columns, cancellationToken).ConfigureAwait(false);
        }

        return _load;
    }

    // What stays is removed at the end of the run, or goes by itself.
    private async Task ReleaseAsync()
    {
        if (!_isStaged)
        {
            return;
        }

        using var limit = new CancellationTokenSource(ReleaseLimit);
        try
        {
            await client.DropAsync(_stage, limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The same.
        }
    }
}

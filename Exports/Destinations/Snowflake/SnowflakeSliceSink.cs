using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>A slice that a claim has open.</summary>
internal sealed record SnowflakeSlice(
    SnowflakeOptions Options, SnowflakeTarget Target, SliceAddress Address, SnowflakeClaim Claim, IReadOnlyList<SnowflakeColumn> Columns, Schema Schema);

/// <summary>
/// A slice on its way: its rows into a file in the bucket; at the commit the file into a staging table, and that into the target, with the
/// slice's row in <c>_EXPORTER_COMMITS</c> in one transaction. File and staging table are the claim's own, so nothing of another attempt is
/// ever among its rows; they are removed when they are no longer needed.
/// </summary>
internal sealed class SnowflakeSliceSink(
    SnowflakeSlice slice, ISnowflakeClient client, SnowflakeFiles bucket, SnowflakeCommits commits, FormatOptions format) : ISliceSink
{
    private static readonly TimeSpan ReleaseLimit = TimeSpan.FromSeconds(10);

    private readonly StagedRows _staged = StagedColumns.Of(slice.Columns, slice.Schema, slice.Options.IsMerge);
    private readonly string _key = bucket.Files.Key(slice.Address, slice.Claim.Id);
    private readonly string _stage = slice.Options.InSchema(SnowflakeStatements.StageOf(slice.Address.Export, slice.Address.Interval, slice.Claim.Id));
    private ISliceSink? _file;
    private long _rows;
    private string? _note;
    private bool _ended;
    private bool _isStaged;

    public long BytesSent => _file?.BytesSent ?? 0;

    private SnowflakeStatements Statements => new(slice.Options, slice.Target, slice.Columns, _stage);

    public void Note(string note) => _note = note;

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        _file ??= bucket.Files.Open(format, _staged.Schema, slice.Address, _key);
        await _file.WriteAsync(_staged.Convert(batch), cancellationToken).ConfigureAwait(false);
        _rows += batch.Length;
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        var bytes = 0L;
        if (_file is not null)
        {
            bytes = (await _file.CommitAsync(cancellationToken).ConfigureAwait(false)).Bytes;
            await StageAsync(cancellationToken).ConfigureAwait(false);
        }

        cancellationToken.ThrowIfCancellationRequested();
        await BringAsync(new SnowflakeCommit(slice.Claim.Id, slice.Address.StepKey, slice.Target.Text, _rows, bytes, _note), cancellationToken).ConfigureAwait(false);
        _ended = true;
        await ReleaseAsync().ConfigureAwait(false);
        return new SliceReceipt { Slice = slice.Address.Slice, Rows = _rows, Bytes = bytes };
    }

    public async ValueTask DisposeAsync()
    {
        if (_file is not null)
        {
            await _file.DisposeAsync().ConfigureAwait(false);
        }

        if (!_ended)
        {
            _ended = true;
            await ReleaseAsync().ConfigureAwait(false);
        }
    }

    // Executed twice, the second COPY knows the file by its name and loads nothing; CheckStage counts what is there.
    private async Task StageAsync(CancellationToken cancellationToken)
    {
        _isStaged = true;
        await client.ExecuteAsync(Statements.CreateStage(), cancellationToken).ConfigureAwait(false);
        var copy = $"COPY INTO {_stage} {await bucket.Stage.CopyFromAsync(client, _key, cancellationToken).ConfigureAwait(false)}";
        await client.ExecuteAsync(copy, cancellationToken).ConfigureAwait(false);
    }

    private async Task BringAsync(SnowflakeCommit commit, CancellationToken cancellationToken)
    {
        var statements = new List<string> { "BEGIN TRANSACTION" };
        if (Statements.Remove(slice.Claim.Before) is { } remove)
        {
            statements.Add(remove);
        }

        if (_rows > 0)
        {
            statements.Add(Statements.CheckStage(_rows));
            statements.AddRange(Statements.Bring(slice.Claim.Id));
        }

        statements.AddRange([.. commits.Commit(slice.Address, commit), "COMMIT"]);
        try
        {
            await client.ExecuteAllAsync(statements, statements.Count - 1, cancellationToken).ConfigureAwait(false);
        }
        catch (SnowflakeException error) when (!cancellationToken.IsCancellationRequested)
        {
            // A repeat of a transaction whose answer was lost fails as one whose slice was taken does. What is committed says which it was.
            SnowflakeCommit? now;
            try
            {
                now = await commits.FindAsync(client, slice.Address, cancellationToken).ConfigureAwait(false);
            }
            catch (SnowflakeException)
            {
                throw error;
            }

            if (now?.Id == slice.Claim.Id)
            {
                return;
            }

            throw error.Cause.Contains(SnowflakeCommits.Stop + "another attempt", StringComparison.Ordinal) ? new SnowflakeTakenException() : error;
        }
    }

    // What stays is removed at the end of the run.
    private async Task ReleaseAsync()
    {
        using var limit = new CancellationTokenSource(ReleaseLimit);
        try
        {
            if (_isStaged)
            {
                await client.ExecuteAsync($"DROP TABLE IF EXISTS {_stage}", limit.Token).ConfigureAwait(false);
            }

            if (_file is not null)
            {
                await bucket.Files.RemoveAsync(_key, limit.Token).ConfigureAwait(false);
            }
        }
        catch (Exception)
        {
            // The same.
        }
    }
}

using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// A slice on its way: its rows into a file or a temporary table; at the commit they are brought into the target with the slice's row in <c>_exporter_commits</c>, in one
/// transaction. File and tables are the claim's own, so nothing of another attempt is ever among its rows.
/// </summary>
internal sealed class RedshiftSliceSink(RedshiftSlice slice, RedshiftConnections server, IRedshiftLoad load, StagedRows staged) : ISliceSink
{
    private static readonly TimeSpan ReleaseLimit = TimeSpan.FromSeconds(10);

    private long _rows;
    private string? _note;
    private bool _ended;

    public long BytesSent => load.BytesSent;

    public void Note(string note) => _note = note;

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        await load.WriteAsync(staged.Convert(batch), cancellationToken).ConfigureAwait(false);
        _rows += batch.Length;
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        cancellationToken.ThrowIfCancellationRequested();
        var session = _rows > 0 ? await load.CompleteAsync(cancellationToken).ConfigureAwait(false) : await server.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            await BringAsync(session, new RedshiftCommit(slice.Claim.Id, slice.Address.StepKey, slice.Target.Text, _rows, load.BytesSent, _note), cancellationToken).ConfigureAwait(false);
            await DropAsync(session).ConfigureAwait(false);
        }

        _ended = true;
        await ReleaseAsync().ConfigureAwait(false);
        return new SliceReceipt { Slice = slice.Address.Slice, Rows = _rows, Bytes = load.BytesSent };
    }

    public async ValueTask DisposeAsync()
    {
        await load.DisposeAsync().ConfigureAwait(false);
        if (!_ended)
        {
            _ended = true;
            await ReleaseAsync().ConfigureAwait(false);
        }
    }

    private async Task BringAsync(RedshiftSession session, RedshiftCommit commit, CancellationToken cancellationToken)
    {
        List<RedshiftStatement> statements = [.. server.Commits.Begin(slice.Address, slice.Claim.Id)];
        if (slice.Statements.Remove(slice.Claim.Before) is { } remove)
        {
            statements.Add(remove);
        }

        if (_rows > 0 && slice.Statements.IsDirect)
        {
            statements.AddRange([((CopyLoad)load).Copy(), RedshiftStatements.CheckCopied(_rows)]);
        }
        else if (_rows > 0)
        {
            await PrepareAsync(session, cancellationToken).ConfigureAwait(false);
            statements.AddRange(slice.Statements.Bring());
        }

        statements.Add(server.Commits.Commit(slice.Address, commit));
        try
        {
            await session.TransactAsync(statements, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is RedshiftException or Npgsql.NpgsqlException or IOException && !cancellationToken.IsCancellationRequested)
        {
            await SettleAsync(session.ProcessId, error, cancellationToken).ConfigureAwait(false);
        }
    }

    // What the session has of its own is nobody else's, so it can be looked at before the transaction.
    private async Task PrepareAsync(RedshiftSession session, CancellationToken cancellationToken)
    {
        var counted = (long)(await session.ExecuteAsync(slice.Statements.CountStage(), cancellationToken).ConfigureAwait(false))[0][0]!;
        if (counted != _rows)
        {
            throw new RedshiftRowsException(_rows, counted);
        }

        if (slice.Statements.CreateNewest() is { } newest)
        {
            await session.ExecuteAsync(newest, cancellationToken).ConfigureAwait(false);
        }
    }

    // An answer may be lost, and a transaction that is too late fails as one does that was told so. What is committed says which it was; looking waits for a
    // transaction that is still under way.
    private async Task SettleAsync(int session, Exception error, CancellationToken cancellationToken)
    {
        RedshiftClaim? now;
        try
        {
            var other = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = other.ConfigureAwait(false);
            now = await server.Commits.FindAsync(other, slice.Address, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
        {
            throw error;
        }

        if (now?.Before?.Id == slice.Claim.Id)
        {
            return;
        }

        if (now?.Id != slice.Claim.Id)
        {
            throw new RedshiftTakenException();
        }

        if (error is RedshiftException { SqlState: "22012" })
        {
            throw new RedshiftRowsException(_rows, null);
        }

        throw error is RedshiftException refused ? await CopyLoad.ExplainedAsync(server, session, refused, cancellationToken).ConfigureAwait(false) : error;
    }

    // A connection lives on in the driver's pool, and its temporary tables with it.
    private async Task DropAsync(RedshiftSession session)
    {
        if (_rows == 0 || slice.Statements.IsDirect)
        {
            return;
        }

        using var limit = new CancellationTokenSource(ReleaseLimit);
        try
        {
            foreach (var table in slice.Statements.Temporary)
            {
                await session.ExecuteAsync(new($"DROP TABLE IF EXISTS {table}"), limit.Token).ConfigureAwait(false);
            }
        }
        catch (Exception)
        {
            // They are named by the claim, so they are in nobody's way until the connection ends.
        }
    }

    // What stays in the bucket is removed at the end of the run.
    private async Task ReleaseAsync()
    {
        using var limit = new CancellationTokenSource(ReleaseLimit);
        try
        {
            await load.ReleaseAsync(limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The same.
        }
    }
}

/// <summary>Other rows have arrived than were sent; nothing of it was committed.</summary>
internal sealed class RedshiftRowsException(long sent, long? arrived)
    : Exception(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Of {sent} rows Redshift has loaded {(arrived is { } count ? count : "others")}."));

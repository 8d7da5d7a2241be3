using Apache.Arrow;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>
/// A slice on its way into a table, in one transaction: rows by binary COPY, the slice's row in <c>_exporter_commits</c>, and what an
/// earlier export of the slice had left gone. Nobody sees any of it before all of it.
/// </summary>
internal sealed class PostgresSliceSink(PostgresTarget target, SliceAddress address, SliceClaim claim, IReadOnlyList<TargetColumn> columns) : ISliceSink
{
    private const int SendBytes = 128 * 1024;

    private static readonly TimeSpan AbortLimit = TimeSpan.FromSeconds(5);
    private readonly CopyEncoder _encoder = new([.. columns.Select(column => column.Type)], target.Options.Provenance is null ? null : claim.Id);
    private readonly MergeStatements? _merge = target.Options.IsMerge ? new MergeStatements(target.Options, target.TableName, columns) : null;
    private NpgsqlConnection? _connection;
    private NpgsqlTransaction? _transaction;
    private NpgsqlRawCopyStream? _copy;
    private Task _ending = Task.CompletedTask;
    private long _rows;
    private long _bytesSent;
    private string? _note;
    private bool _ended;

    // Given to the driver, which holds 64 KiB back at most.
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    public void Note(string note) => _note = note;

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        using var limit = new CallLimit(target.Options, cancellationToken);
        await limit.KeepAsync(async token =>
        {
            _copy ??= await BeginCopyAsync(token).ConfigureAwait(false);
            var cells = _encoder.Cells(batch);
            for (var row = 0; row < batch.Length;)
            {
                (var bytes, row) = _encoder.Encode(cells, row, batch.Length, SendBytes);
                await _copy.WriteAsync(bytes, token).ConfigureAwait(false);
                Interlocked.Add(ref _bytesSent, bytes.Length);
            }
        }).ConfigureAwait(false);
        _rows += batch.Length;
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (_copy is not null)
        {
            using var limit = new CallLimit(target.Options, cancellationToken);
            await limit.KeepAsync(EndCopyAsync).ConfigureAwait(false);
        }

        var transaction = await BeginAsync(cancellationToken).ConfigureAwait(false);
        var commit = new SliceCommit(claim.Id, address.StepKey, target.Text, _rows, _encoder.Length, _note);
        var before = await target.Commits.CommitAsync(transaction, address, commit, cancellationToken).ConfigureAwait(false);
        if (_merge is not null && _rows > 0)
        {
            await MergeAsync(_merge, transaction, cancellationToken).ConfigureAwait(false);
        }
        else if (before is not null)
        {
            await target.RemoveAsync(transaction, before, cancellationToken).ConfigureAwait(false);
        }

        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        _ended = true;
        return new SliceReceipt { Slice = address.Slice, Rows = _rows, Bytes = _encoder.Length };
    }

    public async ValueTask DisposeAsync()
    {
        _ended = true;
        if (_connection is { } connection)
        {
            _connection = null;
            await CloseAsync(connection).ConfigureAwait(false);
        }
    }

    private async Task<NpgsqlTransaction> BeginAsync(CancellationToken cancellationToken)
    {
        _connection ??= await target.Data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        return _transaction ??= await Statements.BeginAsync(_connection, cancellationToken, SliceSessions.NameOf(address, claim.Id)).ConfigureAwait(false);
    }

    private async Task<NpgsqlRawCopyStream> BeginCopyAsync(CancellationToken cancellationToken)
    {
        var transaction = await BeginAsync(cancellationToken).ConfigureAwait(false);
        var table = target.Name;
        if (_merge is not null)
        {
            await Statements.ExecuteAsync(transaction, _merge.CreateStage, cancellationToken).ConfigureAwait(false);
            table = Quoted.Name(MergeStatements.Stage);
        }

        var names = columns.Select(column => column.Name);
        names = target.Options.Provenance is { } provenance ? names.Append(provenance) : names;
        return await _connection!.BeginRawBinaryCopyAsync($"copy {table} ({Quoted.Names(names)}) from stdin (format binary)", cancellationToken).ConfigureAwait(false);
    }

    // Disposing is how the driver says that the data are complete; errors of the rows come here.
    private async Task EndCopyAsync(CancellationToken cancellationToken)
    {
        var end = _encoder.End();
        await _copy!.WriteAsync(end, cancellationToken).ConfigureAwait(false);
        Interlocked.Add(ref _bytesSent, end.Length);
        var copy = _copy;
        _copy = null;
        _ending = copy.DisposeAsync().AsTask();
        await _ending.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task MergeAsync(MergeStatements merge, NpgsqlTransaction transaction, CancellationToken cancellationToken)
    {
        if (merge.IsAlone)
        {
            await Statements.LockAsync(transaction, "merge " + target.Name, cancellationToken).ConfigureAwait(false);
        }

        await Statements.ExecuteAsync(transaction, $"analyze {Quoted.Name(MergeStatements.Stage)}", cancellationToken).ConfigureAwait(false);
        foreach (var statement in merge.All())
        {
            await Statements.ExecuteAsync(transaction, statement, cancellationToken).ConfigureAwait(false);
        }
    }

    // What is not committed is rolled back by the server, whatever becomes of this; but it must not keep the table's lock until then.
    private async Task CloseAsync(NpgsqlConnection connection)
    {
        var closing = RollBackAsync(connection);
        try
        {
            await closing.WaitAsync(AbortLimit).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            await EndSessionAsync().ConfigureAwait(false);
            await closing.WaitAsync(AbortLimit).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task RollBackAsync(NpgsqlConnection connection)
    {
        // Errors: the one that ended this attempt says more. Each of these is tried, whatever became of the one before.
        await _ending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await (_copy?.CancelAsync() ?? Task.CompletedTask).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await (_transaction?.DisposeAsync().AsTask() ?? Task.CompletedTask).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await connection.DisposeAsync().AsTask().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // The server is at work on what was sent and does not listen: it is told over another connection.
    private async Task EndSessionAsync()
    {
        using var limit = new CancellationTokenSource(AbortLimit);
        try
        {
            var connection = await target.Data.OpenConnectionAsync(limit.Token).ConfigureAwait(false);
            await using var closing = connection.ConfigureAwait(false);
            await SliceSessions.EndOlderAsync(connection, address, claim.Id + 1, limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Out of reach; the next attempt of the slice ends the session when it opens it.
        }
    }
}

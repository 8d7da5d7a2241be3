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
    private long _rows;
    private string? _note;
    private bool _ended;

    public long BytesSent => _encoder.Length;

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
        return _transaction ??= await Statements.BeginAsync(_connection, cancellationToken).ConfigureAwait(false);
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
        await _copy!.WriteAsync(_encoder.End(), cancellationToken).ConfigureAwait(false);
        var copy = _copy;
        _copy = null;
        await copy.DisposeAsync().AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);
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

    // What is not committed is rolled back by the server, whatever becomes of this.
    private async Task CloseAsync(NpgsqlConnection connection)
    {
        try
        {
            if (_copy is { } copy)
            {
                _copy = null;
                await copy.CancelAsync().WaitAsync(AbortLimit).ConfigureAwait(false);
            }

            await (_transaction?.DisposeAsync().AsTask().WaitAsync(AbortLimit) ?? Task.CompletedTask).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The error that ended this attempt says more.
        }

        try
        {
            await connection.DisposeAsync().AsTask().WaitAsync(AbortLimit).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The same.
        }
    }
}

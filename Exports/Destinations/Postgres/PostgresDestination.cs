using Apache.Arrow;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Rows in a table. Those of a slice appear with the slice's row in <c>_exporter_commits</c>, or not at all.</summary>
internal sealed class PostgresDestination(PostgresOptions options) : IDestination
{
    private readonly NpgsqlDataSource _data = NpgsqlDataSource.Create(options.ConnectionString());
    private readonly SemaphoreSlim _one = new(1);
    private (PostgresTarget Target, string Schema, IReadOnlyList<TargetColumn> Columns)? _prepared;
    private bool _hasCommits;

    public bool TakesSourceTypes => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new PostgresCheck(this, options, _data).RunAsync(cancellationToken);

    public async Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var claim = await ClaimAsync(connection, address, cancellationToken).ConfigureAwait(false);
        return claim.Before is { By: { } by } before && by == address.StepKey
            ? new CommittedSlice(new SliceReceipt { Slice = address.Slice, Rows = before.Rows, Bytes = before.Bytes }, before.Note) { By = before.Attempt }
            : null;
    }

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var target = new PostgresTarget(options, _data, options.TableOf(address.Export));
        var columns = await PrepareAsync(connection, target, schema, cancellationToken).ConfigureAwait(false);
        var claim = await ClaimAsync(connection, address, cancellationToken).ConfigureAwait(false);
        target.CheckReplaces(claim.Before);
        await SliceSessions.EndOlderAsync(connection, address, claim.Id, cancellationToken).ConfigureAwait(false);
        return new PostgresSliceSink(target, address, claim, columns);
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        await EnsureCommitsAsync(connection, cancellationToken).ConfigureAwait(false);
        var target = new PostgresTarget(options, _data, options.TableOf(manifest.Export));
        var transaction = await Statements.BeginAsync(connection, cancellationToken).ConfigureAwait(false);
        await using var disposing = transaction.ConfigureAwait(false);
        var found = await target.Commits.LockIntervalAsync(transaction, manifest, cancellationToken).ConfigureAwait(false);
        var commits = found.ToDictionary(slice => slice.Slice, slice => slice.Commit);
        CommittedRows.Compare(manifest, slice => commits.GetValueOrDefault(slice)?.Rows, target.Text, "_exporter_commits");
        var kept = manifest.Slices.Select(slice => slice.Slice).ToHashSet();
        foreach (var (_, commit) in found.Where(slice => !kept.Contains(slice.Slice)))
        {
            if (commit is not null)
            {
                target.CheckReplaces(commit);
                await target.RemoveAsync(transaction, commit, cancellationToken).ConfigureAwait(false);
            }
        }

        await target.Commits.ForgetAsync(
            transaction, manifest, [.. found.Select(slice => slice.Slice).Where(slice => !kept.Contains(slice))], cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    public ColumnLimit? LimitOf(Field field) => ColumnTypes.LimitOf(field);

    public ExportError? Classify(Exception exception) => PostgresErrors.Sort(exception, options);

    public async ValueTask DisposeAsync()
    {
        await _data.DisposeAsync().ConfigureAwait(false);
        _one.Dispose();
    }

    private async Task<SliceClaim> ClaimAsync(NpgsqlConnection connection, SliceAddress address, CancellationToken cancellationToken)
    {
        await EnsureCommitsAsync(connection, cancellationToken).ConfigureAwait(false);
        return await new CommitsTable(options.Schema).ClaimAsync(connection, address, cancellationToken).ConfigureAwait(false);
    }

    private async Task EnsureCommitsAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        if (!_hasCommits)
        {
            await new CommitsTable(options.Schema).EnsureAsync(connection, cancellationToken).ConfigureAwait(false);
            _hasCommits = true;
        }
    }

    // Once for a run, since all of its slices have the same columns.
    private async Task<IReadOnlyList<TargetColumn>> PrepareAsync(
        NpgsqlConnection connection, PostgresTarget target, Schema schema, CancellationToken cancellationToken)
    {
        if (schema.FieldsList.Count == 0)
        {
            // A slice that is thrown away.
            return [];
        }

        var text = string.Join('\n', schema.FieldsList.Select(field => $"{field.Name} {ColumnTypes.Of(field)}"));
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_prepared is { } prepared && prepared.Target.Name == target.Name && prepared.Schema == text)
            {
                return prepared.Columns;
            }

            var columns = await target.Table.EnsureAsync(connection, schema, cancellationToken).ConfigureAwait(false);
            _prepared = (target, text, columns);
            return columns;
        }
        finally
        {
            _one.Release();
        }
    }
}

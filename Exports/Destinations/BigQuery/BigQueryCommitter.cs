namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A slice that waits for its commit.</summary>
/// <param name="Slice">The slice.</param>
/// <param name="Statements">Of its table and columns.</param>
/// <param name="Job">Begins the names of its jobs.</param>
internal sealed record WaitingSlice(StagedSlice Slice, BigQueryStatements Statements, string Job)
{
    public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>
/// Commits slices one transaction after another, since BigQuery cancels one of two that change a table at once; those that wait meanwhile go
/// together in the next. So a run costs few statements, of which a table takes 25 in 10 seconds (https://cloud.google.com/bigquery/quotas#data-manipulation-language-statements),
/// and a merge reads its target once for several slices.
/// </summary>
internal sealed class BigQueryCommitter(IBigQueryClient client, BigQueryCommits commits) : IAsyncDisposable
{
    // A transaction changes 100 tables at most and reads each slice's: https://cloud.google.com/bigquery/docs/transactions#limitations.
    private const int Most = 20;

    // Of a megabyte that a query may have: https://cloud.google.com/bigquery/quotas#query_jobs.
    private const int LongestQuery = 900_000;

    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _lock = new();
    private readonly List<WaitingSlice> _waiting = [];
    private Task _working = Task.CompletedTask;

    /// <summary>Commits a slice. Whoever stops waiting for a commit that is under way does not know what became of it.</summary>
    /// <exception cref="BigQueryTakenException">Another attempt has opened it.</exception>
    public async Task CommitAsync(WaitingSlice slice, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _waiting.Add(slice);
            if (_working.IsCompleted)
            {
                _working = Task.Run(WorkAsync, CancellationToken.None);
            }
        }

        try
        {
            await slice.Done.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            lock (_lock)
            {
                _waiting.Remove(slice);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _working.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _closing.Dispose();
    }

    private async Task WorkAsync()
    {
        while (true)
        {
            List<WaitingSlice> group;
            lock (_lock)
            {
                // All slices of a run have one table and the same columns, but for those that are thrown away.
                group = [.. _waiting.Where(slice => slice.Statements == _waiting[0].Statements).Take(Most)];
                if (group.Count == 0)
                {
                    _working = Task.CompletedTask;
                    return;
                }

                _waiting.RemoveAll(group.Contains);
            }

            await CommitAsync(group).ConfigureAwait(false);
        }
    }

    private async Task CommitAsync(List<WaitingSlice> group)
    {
        var sql = group[0].Statements.Bring([.. group.Select(slice => slice.Slice)]);
        if (sql.Length > LongestQuery && group.Count > 1)
        {
            await CommitAsync(group[..(group.Count / 2)]).ConfigureAwait(false);
            await CommitAsync(group[(group.Count / 2)..]).ConfigureAwait(false);
            return;
        }

        try
        {
            var job = group.Count == 1 ? group[0].Job : "exporter_" + BigQueryName.Hash(string.Join('\n', group.Select(slice => slice.Slice.Claim.Id)));
            await client.QueryAsync(job + "_commit", sql, _closing.Token).ConfigureAwait(false);
            group.ForEach(slice => slice.Done.TrySetResult());
        }
        catch (OperationCanceledException error)
        {
            group.ForEach(slice => slice.Done.TrySetCanceled(error.CancellationToken));
        }
        catch (Exception error)
        {
            await LookAsync(group, error).ConfigureAwait(false);
        }
    }

    // An answer that says no may be of a repeat. What is committed says what is true; of the others each is tried alone, so that one that was
    // taken holds none up.
    private async Task LookAsync(List<WaitingSlice> group, Exception error)
    {
        IReadOnlySet<string> committed;
        try
        {
            committed = await commits.FindAsync(client, group.Select(slice => slice.Slice.Claim.Id), _closing.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            group.ForEach(slice => slice.Done.TrySetException(error));
            return;
        }

        foreach (var slice in group)
        {
            if (committed.Contains(slice.Slice.Claim.Id))
            {
                slice.Done.TrySetResult();
            }
            else if (group.Count > 1)
            {
                await CommitAsync([slice]).ConfigureAwait(false);
            }
            else
            {
                slice.Done.TrySetException(error.Message.Contains(BigQueryCommits.Stop + "another attempt", StringComparison.Ordinal) ? new BigQueryTakenException() : error);
            }
        }
    }
}

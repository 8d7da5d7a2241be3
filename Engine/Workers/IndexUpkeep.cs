using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>
/// Rebuilds the indexes of the tables that hold only what is unfinished, when they have become large and then mostly empty: vacuum
/// makes their pages free, but does not give them back; and vacuums the tables themselves when that has left them large. Not while so much is written that they would soon be as large
/// again, not while a long transaction would have to be waited for, and one worker at a time.
/// </summary>
internal sealed class IndexUpkeep(
    EngineDatabase database, NpgsqlDataSource data, QuietConnection? quiet, Guid workerId, WorkerOptions options, TimeProvider time, EngineMetrics metrics, ILogger logger)
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromHours(1);
    private readonly Dictionary<string, long> _written = new(StringComparer.Ordinal);
    // What did not become smaller, and its size then: it is left alone until it has another one.
    private readonly Dictionary<string, long> _vain = new(StringComparer.Ordinal);
    private HashSet<string> _transactions = [];

    public async Task RunAsync(CancellationToken end)
    {
        for (var pause = options.ReindexInterval; options.ReindexFrom is not null && !end.IsCancellationRequested;)
        {
            await Task.Delay(pause, time, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            try
            {
                await TidyAsync(end).ConfigureAwait(false);
                pause = options.ReindexInterval;
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "Rebuilding indexes", ErrorText.Of(error));
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
            catch (Exception)
            {
                return;
            }
        }
    }

    /// <summary>Looks, and does what there is to do. What was written is known from the second look on.</summary>
    /// <returns>How many tables were vacuumed, and indexes rebuilt or, because they were left over, dropped.</returns>
    public async Task<int> TidyAsync(CancellationToken cancellationToken)
    {
        // Behind a pooler the lock would be left in a session that others use.
        if (!database.HasSessions)
        {
            return 0;
        }

        var (indexes, transactions) = await LookAsync(cancellationToken).ConfigureAwait(false);
        var before = new Dictionary<string, long>(_written);
        indexes.ForEach(index => _written[index.Name] = index.Written);
        var isHeldUp = transactions.Overlaps(_transactions);
        _transactions = transactions;
        return isHeldUp || Due(indexes, before).Count == 0 ? 0 : await TidyAsync(before, cancellationToken).ConfigureAwait(false);
    }

    private List<TableIndex> Due(List<TableIndex> indexes, Dictionary<string, long> before) => indexes.FindAll(index =>
        index.IsLeftover || (index.Bytes >= options.ReindexFrom && _vain.GetValueOrDefault(index.Name) != index.Bytes
            && before.TryGetValue(index.Name, out var written) && index.IsMostlyEmpty(written)));

    private async Task<(List<TableIndex> Indexes, HashSet<string> Transactions)> LookAsync(CancellationToken cancellationToken)
    {
        using var turn = quiet?.TryTake();
        if (turn is not null)
        {
            var seen = await IndexStore.LookAsync(await turn.OpenAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
            turn.Keep();
            return seen;
        }

        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        return await IndexStore.LookAsync(connection, cancellationToken).ConfigureAwait(false);
    }

    private async Task<int> TidyAsync(Dictionary<string, long> before, CancellationToken cancellationToken)
    {
        var connection = new NpgsqlConnection(database.SessionConnectionString($"exporter {workerId}"));
        await using var closing = connection.ConfigureAwait(false);
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        if (!await IndexStore.BeginAsync(connection, cancellationToken).ConfigureAwait(false))
        {
            return 0;
        }

        // Who had the lock before may have done it meanwhile.
        var (indexes, _) = await IndexStore.LookAsync(connection, cancellationToken).ConfigureAwait(false);
        var due = Due(indexes, before);
        foreach (var index in due.OrderByDescending(index => index.IsLeftover))
        {
            if (index.IsLeftover)
            {
                await DropAsync(connection, index, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await RebuildAsync(connection, index, cancellationToken).ConfigureAwait(false);
            }
        }

        return due.Count;
    }

    private async Task DropAsync(NpgsqlConnection connection, TableIndex index, CancellationToken cancellationToken)
    {
        await IndexStore.ExecuteAsync(connection, index.Drop, cancellationToken).ConfigureAwait(false);
        EngineLog.LeftoverDropped(logger, index.Name);
    }

    private async Task RebuildAsync(NpgsqlConnection connection, TableIndex index, CancellationToken cancellationToken)
    {
        try
        {
            await IndexStore.ExecuteAsync(connection, index.Rebuild, cancellationToken).ConfigureAwait(false);
            metrics.IndexRebuilt("completed");
            var size = await IndexStore.SizeAsync(connection, index.Name, cancellationToken).ConfigureAwait(false);
            if (size < index.Bytes)
            {
                EngineLog.IndexRebuilt(logger, index.Name, Megabytes(index.Bytes), index.Rows, Megabytes(size));
            }
            else
            {
                _vain[index.Name] = size;
            }
        }
        catch (PostgresException) when (!cancellationToken.IsCancellationRequested)
        {
            metrics.IndexRebuilt("failed");
            foreach (var left in (await IndexStore.LookAsync(connection, cancellationToken).ConfigureAwait(false)).Indexes.Where(left => left.IsLeftover))
            {
                await DropAsync(connection, left, cancellationToken).ConfigureAwait(false);
            }

            throw;
        }
    }

    private static double Megabytes(long bytes) => Math.Round(bytes / 1e6, 1);
}

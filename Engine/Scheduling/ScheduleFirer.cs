using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>
/// Fires schedules. Every host with a worker has one and none leads: rows of schedules are locked, their occurrences get their
/// outcomes, runs are inserted and the rows move on, in one transaction for many. Time is the database's alone, so a host that was
/// suspended has nothing to make up for: it finds what is due, as any other would.
/// </summary>
internal sealed class ScheduleFirer(
    NpgsqlDataSource data, EngineClient client, PayloadCodec codec, SchemaGate gate, WorkSignal signal, ScheduleBell bell, TimeProvider time,
    EngineMetrics metrics, ILogger<ScheduleFirer> logger)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>Where nothing is due soon and nothing waits for a run to end; who changes that says so, and idle workers look.</summary>
    private static readonly TimeSpan IdleInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WhileOthersFire = TimeSpan.FromMilliseconds(100);

    /// <summary>Schedules taken at most in one transaction.</summary>
    private const int AtOnce = 250;
    private readonly ScheduleSettler _settler = new(client, codec);

    // Those with a backlog: each gets a batch in turn, after all others that are due.
    private readonly HashSet<string> _behind = [];

    // So many are taken alone, since the database refused a transaction of many.
    private int _oneByOne;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await gate.PassAsync(stoppingToken).ConfigureAwait(false);
        signal.Scheduled += bell.Ring;
        try
        {
            await FireAlwaysAsync(stoppingToken).ConfigureAwait(false);
        }
        finally
        {
            signal.Scheduled -= bell.Ring;
        }
    }

    private async Task FireAlwaysAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = Interval;
            try
            {
                wait = await FireDueAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "Firing schedules", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }

            await bell.WaitAsync(wait, time, stoppingToken).ConfigureAwait(false);
        }
    }

    /// <summary>Decides all that is due.</summary>
    /// <returns>When to look again.</returns>
    private async Task<TimeSpan> FireDueAsync(CancellationToken cancellationToken)
    {
        var (until, buffered) = await ScheduleStore.FindDueAsync(data, cancellationToken).ConfigureAwait(false);
        if (until <= TimeSpan.Zero || buffered)
        {
            while (await FireAsync(cancellationToken).ConfigureAwait(false))
            {
            }

            (until, buffered) = await ScheduleStore.FindDueAsync(data, cancellationToken).ConfigureAwait(false);
        }

        var longest = buffered || !signal.IsListening ? Interval : IdleInterval;
        // Due and not taken: others have it in their hands.
        return until is not { } due || due >= longest ? longest : due <= TimeSpan.Zero ? WhileOthersFire : due + TimeSpan.FromMilliseconds(1);
    }

    /// <summary>Decides what is to be decided of some schedules.</summary>
    /// <returns>False when there are none.</returns>
    internal async Task<bool> FireAsync(CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        var most = _oneByOne > 0 ? 1 : AtOnce;
        var taken = await ScheduleStore.TakeAsync(transaction, _behind, most, cancellationToken).ConfigureAwait(false);
        if (taken.Count == 0 && _behind.Count > 0)
        {
            _behind.Clear();
            taken = await ScheduleStore.TakeAsync(transaction, _behind, most, cancellationToken).ConfigureAwait(false);
        }

        if (taken.Count == 0)
        {
            _oneByOne = 0;
            return false;
        }

        try
        {
            var settled = await _settler.SettleDueAsync(transaction, taken, cancellationToken).ConfigureAwait(false);
            foreach (var failed in settled.Where(one => one.Error is not null))
            {
                await BlockAsync(transaction, failed.Before.Id, failed.Error!, cancellationToken).ConfigureAwait(false);
            }

            await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
            _oneByOne = Math.Max(_oneByOne - 1, 0);
            foreach (var one in settled)
            {
                Measure(one.Before, one.Decided);
            }

            _behind.UnionWith(settled.Where(one => one.More).Select(one => one.Before.Id));
        }
        catch (PostgresException refused) when (refused.SqlState[..2] is "22" or "23")
        {
            // A value of one of them that the database refuses: which one shows when each comes alone.
            await transaction.RollbackAsync(cancellationToken).ConfigureAwait(false);
            if (taken.Count > 1)
            {
                _oneByOne = taken.Count;
                return true;
            }

            _oneByOne = Math.Max(_oneByOne - 1, 0);
            var blocking = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
            await using var disposing = blocking.ConfigureAwait(false);
            await BlockAsync(blocking, taken[0].Id, refused, cancellationToken).ConfigureAwait(false);
            await blocking.CommitAsync(cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    /// <summary>It must not hold up the others: a zone that this machine lacks, a key that is not in the ring, a value that is refused.</summary>
    private Task BlockAsync(NpgsqlTransaction transaction, string scheduleId, Exception error, CancellationToken cancellationToken)
    {
        EngineLog.SchedulePaused(logger, scheduleId, ErrorText.Of(error));
        return ScheduleStore.PauseAsync(transaction, scheduleId, $"It cannot fire: {ErrorText.Of(error)}", blocked: true, cancellationToken);
    }

    private void Measure(StoredSchedule stored, IReadOnlyList<ScheduleOccurrence> decided)
    {
        if (stored.NextAt is { } due && due <= stored.Now && !stored.Paused)
        {
            metrics.ScheduleDecided(stored.Schedule.Workflow, stored.Now - due);
        }

        foreach (var occurrence in decided)
        {
            metrics.OccurrenceDecided(stored.Schedule.Workflow, occurrence.Outcome.ToString().ToLowerInvariant());
        }
    }
}

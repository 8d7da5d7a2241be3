using System.Security.Cryptography;
using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>
/// Fires schedules. Every host with a worker has one and none leads: a schedule's row is locked, its occurrences get their
/// outcomes, runs are inserted and the row moves on, in one transaction. Time is the database's alone, so a host that was
/// suspended has nothing to make up for: it finds what is due, as any other would.
/// </summary>
internal sealed class ScheduleFirer(
    NpgsqlDataSource data, EngineClient client, PayloadCodec codec, SchemaGate gate, ScheduleBell bell, TimeProvider time, EngineMetrics metrics,
    ILogger<ScheduleFirer> logger)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private readonly ScheduleSettler _settler = new(client, codec);

    // Those with a backlog: each gets a batch in turn, after all others that are due.
    private readonly HashSet<string> _behind = [];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await gate.PassAsync(stoppingToken).ConfigureAwait(false);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                while (await FireOneAsync(stoppingToken).ConfigureAwait(false))
                {
                }
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "Firing schedules", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }

            await bell.WaitAsync(Interval, time, stoppingToken).ConfigureAwait(false);
        }
    }

    /// <summary>Decides what is to be decided of one schedule.</summary>
    /// <returns>False when there is none.</returns>
    internal async Task<bool> FireOneAsync(CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        var stored = await ScheduleStore.TakeAsync(transaction, _behind, cancellationToken).ConfigureAwait(false);
        if (stored is null && _behind.Count > 0)
        {
            _behind.Clear();
            stored = await ScheduleStore.TakeAsync(transaction, _behind, cancellationToken).ConfigureAwait(false);
        }

        if (stored is null)
        {
            return false;
        }

        try
        {
            var (decided, more) = await _settler.SettleDueAsync(transaction, stored, cancellationToken).ConfigureAwait(false);
            await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
            Measure(stored, decided);
            if (more)
            {
                _behind.Add(stored.Id);
            }
        }
        catch (Exception error) when (IsItsOwn(error))
        {
            await transaction.RollbackAsync(cancellationToken).ConfigureAwait(false);
            await BlockAsync(connection, stored.Id, error, cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    /// <summary>A zone that this machine lacks, a key that is not in the ring, a value that the database refuses.</summary>
    private static bool IsItsOwn(Exception error) =>
        error is ArgumentException or CryptographicException || (error is PostgresException refused && refused.SqlState[..2] is "22" or "23");

    /// <summary>It must not hold up the others.</summary>
    private async Task BlockAsync(NpgsqlConnection connection, string scheduleId, Exception error, CancellationToken cancellationToken)
    {
        EngineLog.SchedulePaused(logger, scheduleId, ErrorText.Of(error));
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        await ScheduleStore.PauseAsync(
            transaction, scheduleId, $"It cannot fire: {ErrorText.Of(error)}", blocked: true, cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
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

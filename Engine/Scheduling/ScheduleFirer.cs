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
/// Fires due schedules. Every host with a worker has one and none leads: a schedule's row is locked, its occurrence gets its
/// outcome, its run is inserted and the row moves on, in one transaction.
/// </summary>
internal sealed class ScheduleFirer(
    NpgsqlDataSource data, EngineClient client, PayloadCodec codec, TimeProvider time, ILogger<ScheduleFirer> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
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

            await Task.Delay(Interval, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Settles one due occurrence of one schedule.</summary>
    /// <returns>False when none is due.</returns>
    internal async Task<bool> FireOneAsync(CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        if (await ScheduleStore.TakeDueAsync(transaction, cancellationToken).ConfigureAwait(false) is not { } due)
        {
            return false;
        }

        try
        {
            await SettleAsync(transaction, due, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is ArgumentException or CryptographicException)
        {
            // A zone that this machine lacks, a key that is not in the ring: it must not hold up the others.
            EngineLog.SchedulePaused(logger, due.Id, ErrorText.Of(error));
            await ScheduleStore.PauseAsync(transaction, due.Id, $"It cannot fire: {ErrorText.Of(error)}", cancellationToken).ConfigureAwait(false);
        }

        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    private async Task SettleAsync(NpgsqlTransaction transaction, DueSchedule due, CancellationToken cancellationToken)
    {
        if (Occurrences.StartOf(due.Id, due.Spec, due.Occurrence) + due.CatchUpWindow < due.Now)
        {
            await ScheduleStore.SettleAsync(
                transaction, due.Id, due.Occurrence, null, $"Missed by more than the catch-up window, {due.CatchUpWindow}.", cancellationToken).ConfigureAwait(false);
        }
        else
        {
            var runId = Occurrences.RunIdOf(due.Id, due.Occurrence);
            if (await ScheduleStore.SettleAsync(transaction, due.Id, due.Occurrence, runId, null, cancellationToken).ConfigureAwait(false))
            {
                var input = codec.Protect(codec.Unprotect(due.Input, Places.Schedule(due.Id)), Places.Input(runId));
                var options = new StartOptions { Queue = due.Queue, Priority = due.Priority, Tags = due.Tags };
                await client.StartAsync(runId, due.Workflow, input, options, due.Id, due.Occurrence, transaction, cancellationToken).ConfigureAwait(false);
            }
        }

        await ScheduleStore.AdvanceAsync(transaction, due.Id, due.Spec, due.Occurrence, cancellationToken).ConfigureAwait(false);
    }
}

using System.Globalization;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>
/// Listens for notifications of new work, so that polling need not be quick. Only shortens waits: LISTEN may die silently
/// or not work at all behind a pooler, and nothing but latency is lost then. Behind a pooler it would be left behind in a session
/// that others use, so it is not even tried there.
/// </summary>
internal sealed class WorkSignal(EngineDatabase database, SchemaGate gate, TimeProvider time, ILogger<WorkSignal> logger) : BackgroundService
{
    private static readonly TimeSpan Probe = TimeSpan.FromSeconds(30);

    /// <summary>Called with a queue's name when work may be waiting there.</summary>
    public event Action<string>? Queued;

    /// <summary>Called with a run and what is asked of it: cancel, pause, drop, or event when it may go on.</summary>
    public event Action<Guid, string>? RunSteered;

    /// <summary>Called when somebody has changed what a schedule has to do.</summary>
    public event Action? Scheduled;

    /// <summary>Whether notifications are being listened for; they may still be lost.</summary>
    public bool IsListening { get; private set; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await gate.PassAsync(stoppingToken).ConfigureAwait(false);
        while (!stoppingToken.IsCancellationRequested)
        {
            if (!database.HasSessions)
            {
                await Task.Delay(Probe, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            try
            {
                await ListenAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (Exception) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                IsListening = false;
                EngineLog.TriedAgain(logger, "Listening for work", ErrorText.Of(error));
                await Task.Delay(TimeSpan.FromSeconds(1), time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ListenAsync(CancellationToken stop)
    {
        var connection = new NpgsqlConnection(database.ListenConnectionString);
        await using var closing = connection.ConfigureAwait(false);
        connection.Notification += (_, notification) => Tell(notification.Payload);
        await connection.OpenAsync(stop).ConfigureAwait(false);
        var listen = new NpgsqlCommand("listen engine", connection);
        await using (listen.ConfigureAwait(false))
        {
            await listen.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
        }

        IsListening = true;
        while (true)
        {
            if (!await connection.WaitAsync(Probe, stop).ConfigureAwait(false))
            {
                // Silence may be death: ask in this same session.
                var probe = new NpgsqlCommand("select 1", connection);
                await using var disposing = probe.ConfigureAwait(false);
                await probe.ExecuteScalarAsync(stop).ConfigureAwait(false);
            }
        }
    }

    private void Tell(string payload)
    {
        if (payload.StartsWith("queue ", StringComparison.Ordinal))
        {
            Queued?.Invoke(payload["queue ".Length..]);
        }
        else if (payload == "schedules")
        {
            Scheduled?.Invoke();
        }
        else if (payload.IndexOf(' ', StringComparison.Ordinal) is var end and > 0
            && Guid.TryParse(payload.AsSpan(end + 1), CultureInfo.InvariantCulture, out var runId))
        {
            RunSteered?.Invoke(runId, payload[..end]);
        }
    }
}

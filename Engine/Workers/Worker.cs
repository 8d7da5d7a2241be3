using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>What one worker offers.</summary>
internal sealed record WorkerSettings(string Queue, WorkerOptions Options, IReadOnlyDictionary<(string Name, int Version), WorkflowRegistration> Workflows)
{
    public WorkflowOffer Offer => new(Workflows.Keys);
}

/// <summary>Executes the runs of one queue, in one session after the other for as long as its host lives.</summary>
internal sealed class Worker(
    WorkerSettings settings, EngineDatabase database, SchemaGate gate, PayloadCodec codec, EngineClient client, IServiceScopeFactory scopes, WorkSignal signal,
    ScheduleBell schedules, TimeProvider time, EngineMetrics metrics, WorkerSignals signals, ILogger<Worker> logger) : BackgroundService
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>The session of now; null before the first.</summary>
    public WorkerSession? Session { get; private set; }

    /// <summary>How it is doing.</summary>
    public WorkerState State => new(
        settings.Queue, Session?.Phase ?? WorkerPhase.Starting, settings.Options.Slots, Session?.Held.Count() ?? 0, Session?.LastClaimAge);

    public TimeSpan LeasePeriod => settings.Options.LeasePeriod;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await gate.PassAsync(stoppingToken).ConfigureAwait(false))
        {
            var session = new WorkerSession(settings, database, codec, client, scopes, signal, schedules, time, metrics, signals, logger);
            await using var ending = session.ConfigureAwait(false);
            void Queued(string queue)
            {
                if (queue == settings.Queue)
                {
                    session.Wake();
                }
            }

            Session = session;
            signal.Queued += Queued;
            signal.RunSteered += session.Steer;
            try
            {
                await session.RunAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "The worker's session", ErrorText.Of(error));
                await Task.Delay(Pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException)
            {
                // Stopped before it was registered.
            }
            finally
            {
                signal.Queued -= Queued;
                signal.RunSteered -= session.Steer;
            }
        }
    }
}

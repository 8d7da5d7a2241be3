using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Exporter.Engine.Health;

/// <summary>Looks at the database, its schema and the workers of this process.</summary>
internal sealed class EngineHealthCheck(EngineDatabase database, IReadOnlyList<Worker> workers, EngineHealthOptions options) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        var states = workers.Select(worker => worker.State).ToList();
        var data = new Dictionary<string, object>
        {
            ["slots"] = states.Sum(state => state.Slots),
            ["executing"] = states.Sum(state => state.Executing),
        };
        if (states.Max(state => state.LastClaimAge) is { } age)
        {
            data["last_claim_age_seconds"] = age.TotalSeconds;
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.Timeout);
        try
        {
            // The schema comes first: without it nothing else can be asked.
            var connection = await database.ConnectAsync(limit.Token).ConfigureAwait(false);
            await using var closing = connection.ConfigureAwait(false);
            var missing = await database.LookAsync(connection, limit.Token).ConfigureAwait(false);
            data["pooled"] = database.IsPooled;
            if (missing.Count > 0)
            {
                return new HealthCheckResult(
                    context.Registration.FailureStatus, $"The schema lacks {string.Join(", ", missing)}: run `exporter migrate`, or EngineSchema.MigrateAsync.", data: data);
            }

            var stranded = options.StrandedAfter is { } after
                ? await WorkerStore.CountStrandedAsync(connection, [.. states.Select(state => state.Queue).Distinct()], after, limit.Token).ConfigureAwait(false)
                : 0;
            data["stranded"] = stranded;
            return Of(context, states, stranded, data);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            var text = error is OperationCanceledException ? $"no answer within {options.Timeout}" : ErrorText.Of(error);
            return new HealthCheckResult(context.Registration.FailureStatus, $"PostgreSQL does not answer: {text}", data: data);
        }
    }

    private static HealthCheckResult Of(
        HealthCheckContext context, List<WorkerState> states, long stranded, Dictionary<string, object> data)
    {
        bool Any(WorkerPhase phase) => states.Exists(state => state.Phase == phase);
        return Any(WorkerPhase.Lost) ? new HealthCheckResult(context.Registration.FailureStatus, "A worker has lost its lease.", data: data)
            : Any(WorkerPhase.Draining) || Any(WorkerPhase.Stopped) ? HealthCheckResult.Degraded("A worker is draining: it claims no more.", data: data)
            : Any(WorkerPhase.Starting) ? HealthCheckResult.Degraded("A worker is not yet registered.", data: data)
            : stranded > 0 ? HealthCheckResult.Degraded($"{stranded} runs wait for code that no worker offers; see engine.stranded_runs.", data: data)
            : HealthCheckResult.Healthy(data: data);
    }
}

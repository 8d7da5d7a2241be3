using System.Diagnostics;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Observability;

/// <summary>
/// The engine's activity source, <c>Exporter.Engine</c>: a span for each claim of a run, and in it one for each attempt of a
/// step. What the step's code traces stands below its attempt.
/// </summary>
internal static class EngineTracing
{
    private static readonly ActivitySource Source = new("Exporter.Engine");

    public static Activity? Run(ClaimedRun run)
    {
        // The name is made only for who listens.
        var activity = Source.HasListeners() ? Source.StartActivity($"run {run.Workflow}", ActivityKind.Consumer) : null;
        activity?.SetTag("exporter.run_id", run.RunId).SetTag("exporter.workflow", run.Workflow).SetTag("exporter.queue", run.Queue)
            .SetTag("exporter.epoch", run.Epoch).SetTag("exporter.version", run.Version);
        return activity;
    }

    public static Activity? Attempt(Guid runId, string step, int place, int attempt)
    {
        var activity = Source.HasListeners() ? Source.StartActivity($"step {step}") : null;
        activity?.SetTag("exporter.run_id", runId).SetTag("exporter.step", step).SetTag("exporter.place", place).SetTag("exporter.attempt", attempt);
        return activity;
    }

    public static void End(Activity? activity, string? error) => activity?.SetStatus(error is null ? ActivityStatusCode.Ok : ActivityStatusCode.Error, error);
}

using Exporter.Engine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Exporter.Exports;

/// <summary>Adds batch exports to a host that has the engine.</summary>
public static class ExportServices
{
    /// <summary>Adds the stores, which need no source: enough to configure, start and look at exports.</summary>
    public static EngineBuilder AddExportStores(this EngineBuilder engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        var services = engine.Services;
        services.TryAddSingleton<ProjectStore>();
        services.TryAddSingleton<DestinationStore>();
        services.TryAddSingleton<BatchExportStore>();
        services.TryAddSingleton<RunStore>();
        services.TryAddSingleton<RunControl>();
        services.TryAddSingleton<AttemptStore>();
        services.TryAddSingleton<BackfillStore>();
        services.TryAddSingleton<DeliveryStore>();
        services.TryAddSingleton<VerificationStore>();
        services.TryAddSingleton<QuarantineStore>();
        services.TryAddSingleton<AuditStore>();
        services.TryAddSingleton<ExportControl>();
        services.TryAddSingleton<UserStore>();
        services.TryAddSingleton<SessionStore>();
        services.TryAddSingleton<ApiKeyStore>();
        services.TryAddSingleton<RequestStore>();
        services.TryAddSingleton<EngineViews>();
        services.TryAddSingleton<NotificationStore>();
        return engine;
    }

    /// <summary>Adds what moves rows: the workflows of batch export runs and of backfills. Workers for their queues are added by the caller.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="source">Where rows are read.</param>
    /// <param name="memory">Bytes that the process may take: slices at once and what they read ahead follow from it. Default 512 MB; at
    /// least 256 MB. What else the process does comes on top.</param>
    /// <remarks>Mail goes out by the <see cref="SmtpOptions"/> among the services.</remarks>
    /// <exception cref="UserErrorException">It is less.</exception>
    public static EngineBuilder AddBatchExports(this EngineBuilder engine, ClickHouseOptions source, long memory = MemoryPlan.DefaultBytes)
    {
        ArgumentNullException.ThrowIfNull(source);
        var plan = MemoryPlan.Of(memory, Environment.ProcessorCount);
        var services = engine.AddExportStores().Services;
        services.TryAddSingleton(source);
        services.TryAddSingleton<ClickHouseSource>();
        services.TryAddSingleton(new MemoryBudget(plan.ReadAheadBytes));
        services.TryAddSingleton(new Lanes(plan.Lanes));
        services.TryAddSingleton<SliceCounter>();
        services.TryAddSingleton<SliceSplitter>();
        services.TryAddSingleton<RunPlanner>();
        services.TryAddSingleton<PlanningProgress>();
        services.TryAddSingleton<SliceExporter>();
        services.TryAddSingleton<ExportPauser>();
        services.TryAddSingleton<FailureStore>();
        services.TryAddSingleton<NotificationOutbox>();
        services.TryAddSingleton<Notifier>();
        services.AddHostedService<LatenessWatch>();
        services.TryAddSingleton<FailureWatch>();
        services.TryAddSingleton<DayBudget>();
        services.TryAddSingleton<OpenDestination>(DestinationKinds.Open);
        services.TryAddSingleton<DestinationMetrics>();
        services.TryAddScoped<DestinationOfRun>();
        services.TryAddScoped<SliceRounds>();
        return engine.AddWorkflow<ExportWorkflow>(ExportInput.Workflow)
            .AddWorkflow<VerifyWorkflow>(VerificationStore.Workflow)
            .AddWorkflow<BackfillWorkflow>(BackfillStore.Workflow)
            .AddWorkflow<NotifyWorkflow>(NotifyWorkflow.Name);
    }
}

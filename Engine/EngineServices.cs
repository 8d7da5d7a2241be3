using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine;

/// <summary>Adds the engine to a host.</summary>
public static class EngineServices
{
    /// <summary>Adds the engine's client, and what its workers need.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="connectionString">The database; its schema is made by <see cref="EngineSchema.MigrateAsync"/>.</param>
    /// <param name="codec">How payloads are stored. Default as they are, unencrypted.</param>
    public static EngineBuilder AddWorkflowEngine(this IServiceCollection services, string connectionString, PayloadCodec? codec = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        services.AddMetrics();
        services.AddLogging(logging => logging.AddFilter<RunLogProvider>(RunLogProvider.TakesByDefault));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<ILoggerProvider, RunLogProvider>());
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(codec ?? new PayloadCodec(KeyRing.Empty));
        services.TryAddSingleton<WorkerSignals>();
        services.TryAddSingleton<EngineMetrics>();
        services.TryAddSingleton(new EngineDatabase(connectionString));
        services.TryAddSingleton<SchemaGate>();
        services.TryAddSingleton(_ => EngineDatabase.OpenForClients(connectionString));
        services.TryAddSingleton<EngineClient>();
        services.TryAddSingleton<QueueClient>();
        services.TryAddSingleton<ScheduleClient>();
        return new EngineBuilder(services);
    }
}

/// <summary>Adds workflows and workers.</summary>
public sealed class EngineBuilder
{
    private readonly Dictionary<(string Name, int Version), WorkflowRegistration> _workflows = [];

    private readonly EngineDatabase _database;

    internal EngineBuilder(IServiceCollection services)
    {
        Services = services;
        _database = (EngineDatabase)services.First(service => service.ServiceType == typeof(EngineDatabase)).ImplementationInstance!;
    }

    /// <summary>The host's services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Registers a workflow; every worker of this host executes it.</summary>
    /// <param name="name">The name that runs are started under; from 1 to 200 characters, without "@".</param>
    /// <param name="version">
    /// Of the code. New runs begin with the newest version that the worker which claims them offers, and stay with it: keep the
    /// old code registered under its old version until <c>engine.runs</c> has no unfinished run of it. Default 1; from 1.
    /// </param>
    /// <typeparam name="TWorkflow">Implements <see cref="Workflows.IWorkflow{TInput, TOutput}"/> once; made anew for each claim.</typeparam>
    /// <exception cref="ArgumentException">The name is taken, or the type is no workflow.</exception>
    public EngineBuilder AddWorkflow<TWorkflow>(string name, int version = 1)
        where TWorkflow : class
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(version, 1);
        if (!_workflows.TryAdd((name, version), WorkflowRegistration.Of<TWorkflow>(name)))
        {
            throw new ArgumentException($"A workflow named \"{name}\" is registered already as version {version}.", nameof(name));
        }

        return this;
    }

    /// <summary>
    /// Says where to listen for new work when the engine's own connection leads through a pooler, which carries no notifications.
    /// Without it nothing but time is lost: idle workers look for work every <see cref="WorkerOptions.PollInterval"/>.
    /// </summary>
    /// <param name="connectionString">The same database, directly at the server, or through a pooler that keeps sessions; one
    /// connection is held.</param>
    public EngineBuilder ListenThrough(string connectionString)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        _database.ListenThrough = connectionString;
        return this;
    }

    /// <summary>Adds a worker for a queue as a hosted service.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="slots">Runs executed at once.</param>
    public EngineBuilder AddWorker(string queue, int slots) => AddWorker(queue, new WorkerOptions { Slots = slots });

    /// <summary>Adds a worker for a queue as a hosted service.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="options">How it claims and holds runs.</param>
    public EngineBuilder AddWorker(string queue, WorkerOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(queue);
        var settings = new WorkerSettings(queue, (options ?? new WorkerOptions()).Validate(), _workflows);
        if (!Services.Any(service => service.ServiceType == typeof(WorkSignal)))
        {
            Services.AddSingleton<WorkSignal>();
            Services.AddSingleton<ScheduleBell>();
            Services.AddHostedService(provider => provider.GetRequiredService<WorkSignal>());
            Services.AddHostedService<ScheduleFirer>();
        }

        // AddHostedService would take a second worker for the first one.
        Services.AddSingleton<IHostedService>(provider => new Worker(
            settings,
            provider.GetRequiredService<EngineDatabase>(),
            provider.GetRequiredService<SchemaGate>(),
            provider.GetRequiredService<PayloadCodec>(),
            provider.GetRequiredService<EngineClient>(),
            provider.GetRequiredService<IServiceScopeFactory>(),
            provider.GetRequiredService<WorkSignal>(),
            provider.GetRequiredService<ScheduleBell>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<EngineMetrics>(),
            provider.GetRequiredService<WorkerSignals>(),
            provider.GetRequiredService<ILogger<Worker>>()));
        return this;
    }
}

using Exporter.Engine;
using Exporter.Engine.Payloads;
using Exporter.Exports.Api;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Exporter.Exports;

/// <summary>Batch exports in a host application: all of it, or the parts that are wanted.</summary>
public static class BatchExportsHosting
{
    /// <summary>Adds the stores, and, as the options say, the source, a worker and the HTTP API.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="options">What is wanted.</param>
    /// <returns>The engine, for workflows of the host's own.</returns>
    /// <exception cref="Destinations.UserErrorException">A value is out of the range that its property states.</exception>
    /// <exception cref="FormatException">The encryption key is none.</exception>
    public static EngineBuilder AddBatchExports(this IServiceCollection services, BatchExportsOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var engine = services.AddWorkflowEngine(options.Postgres, new PayloadCodec(KeyRing.Parse(options.EncryptionKey))).AddExportStores();
        if (options.Source is { } source)
        {
            engine.AddBatchExports(source.Validate(), options.WorkerMemory);
            if (options.Worker is { } worker)
            {
                engine.AddWorker(ExportInput.Queue, worker).AddWorker(BackfillStore.Queue, worker with { Slots = options.BackfillSlots });
            }
        }

        return options.Api is { } api ? engine.AddBatchExportsApi(api) : engine;
    }

    /// <summary>Adds what the HTTP API needs, to a host that has added the rest by itself.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="options">How the API works.</param>
    /// <exception cref="Destinations.UserErrorException">A value is out of the range that its property states.</exception>
    public static EngineBuilder AddBatchExportsApi(this EngineBuilder engine, BatchExportsApiOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        var services = engine.AddExportStores().Services;
        services.TryAddSingleton((options ?? new BatchExportsApiOptions()).Validate());
        services.TryAddSingleton<ApiServices>();
        services.TryAddSingleton<ApiCallers>();
        services.TryAddSingleton<LoginLimiter>();
        services.TryAddSingleton<ApiDispatcher>();
        return engine;
    }

    /// <summary>Mounts the HTTP API: <c>/api/v1</c> below the prefix.</summary>
    /// <param name="endpoints">The host's routes.</param>
    /// <param name="prefix">Where, such as <c>/exports</c>. Default at the root.</param>
    /// <returns>All of its routes, for conventions of the host's own, such as CORS.</returns>
    public static RouteGroupBuilder MapBatchExports(this IEndpointRouteBuilder endpoints, string prefix = "")
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        var group = endpoints.MapGroup(prefix);
        ApiRoutes.Map(group);
        return group;
    }
}

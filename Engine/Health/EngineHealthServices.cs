using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;

namespace Exporter.Engine.Health;

/// <summary>Adds the engine to a host's health checks.</summary>
public static class EngineHealthServices
{
    /// <summary>
    /// Adds a check of the database, its schema and this process's workers. Healthy: all is well. Degraded: a worker is draining
    /// or not yet registered, or runs wait for code that no worker offers. Unhealthy: the database does not answer, the schema is
    /// older than this version needs, or a worker has lost its lease. Its data: <c>slots</c>, <c>executing</c> and
    /// <c>last_claim_age_seconds</c> of this process, <c>stranded</c>, and <c>pooled</c>.
    /// </summary>
    /// <param name="builder">Of <c>AddHealthChecks()</c>; the host has <c>AddWorkflowEngine</c>, too.</param>
    /// <param name="options">When it is degraded or unhealthy.</param>
    /// <param name="name">The check's name. Default "workflow-engine".</param>
    /// <param name="tags">Tags that tell checks apart, such as "ready". Default none.</param>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    public static IHealthChecksBuilder AddWorkflowEngine(
        this IHealthChecksBuilder builder, EngineHealthOptions? options = null, string name = "workflow-engine", IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        var validated = (options ?? new EngineHealthOptions()).Validate();
        return builder.Add(new HealthCheckRegistration(
            name,
            provider => new EngineHealthCheck(
                provider.GetRequiredService<EngineDatabase>(), [.. provider.GetServices<IHostedService>().OfType<Worker>()], validated),
            failureStatus: null,
            tags));
    }
}

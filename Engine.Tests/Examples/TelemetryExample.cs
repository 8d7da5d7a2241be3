using Exporter.Engine.Client;
using Exporter.Engine.Tests.Observability;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;

namespace Exporter.Engine.Tests.Examples;

public sealed class TelemetryExample
{
    [Test]
    public async Task Metrics_and_traces_reach_a_collector_by_OTLP()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var receiver = OtlpReceiver.Start();
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddWorkflowEngine(database.ConnectionString).AddWorkflow<StepsExample.Order>("order").AddWorker("default", slots: 2);
        var collector = receiver.Address;

        #region README telemetry
        builder.Services.AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter("Exporter.Engine"))
            .WithTracing(traces => traces.AddSource("Exporter.Engine"))
            .UseOtlpExporter(OtlpExportProtocol.HttpProtobuf, collector);
        #endregion

        using (var host = builder.Build())
        {
            await host.StartAsync();
            var client = host.Services.GetRequiredService<EngineClient>();
            await client.ResultAsync<string>((await client.StartAsync("order", 5)).RunId);
            await host.StopAsync();
        }

        // Disposing the host has sent what was gathered.
        Assert.That(receiver.BodiesOf("/v1/traces"), Does.Contain("Exporter.Engine").And.Contain("run order").And.Contain("step charge").And.Contain("step ship").And.Contain("exporter.run_id"));
        Assert.That(
            receiver.BodiesOf("/v1/metrics"),
            Does.Contain("exporter.engine.runs.claimed").And.Contain("exporter.engine.attempts").And.Contain("exporter.engine.commit.size"));
    }
}

using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Observability;

namespace Exporter.Exports.Tests.Cli;

/// <summary>The worker sends its metrics to where OpenTelemetry's own variables say.</summary>
internal sealed class TelemetryTests
{
    [Test]
    public async Task A_worker_sends_its_metrics_where_the_standard_variables_say()
    {
        await using var servers = await CliServers.StartAsync(1);
        _ = (await servers.Cli.RunAsync("migrate")).Answer;
        await using var collector = OtlpReceiver.Start();
        await using var worker = await servers.StartWorkerAsync(new CliCall
        {
            Environment =
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString(),
                ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
                ["OTEL_METRIC_EXPORT_INTERVAL"] = "200",
                ["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment=tests",
            },
        });
        await Eventually.TrueAsync(() => collector.BodiesOf("/v1/metrics").Contains("exporter.engine.queue.depth"), "the depth of the queues arrives");
        Assert.That(collector.BodiesOf("/v1/metrics"), Does.Contain("service.name").And.Contain("deployment.environment"));
        await worker.TerminateAsync();
        Assert.That((await worker.EndAsync(TimeSpan.FromSeconds(60))).Status, Is.Zero, worker.Log);
    }
}

using Exporter.Engine.Client;
using Exporter.Engine.Health;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Exporter.Engine.Tests.Health;

/// <summary>What the health check says of a worker; of the database and its schema, see Examples/HealthExample.</summary>
public sealed class HealthTests
{
    [Test]
    public async Task A_worker_is_degraded_while_it_drains_or_runs_are_stranded_and_unhealthy_when_its_lease_is_lost()
    {
        await using var database = await TestDatabase.NewAsync();
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            TestWorker.Quick with { CancelGrace = TimeSpan.FromSeconds(30), ShutdownGrace = TimeSpan.FromSeconds(30) },
            services =>
            {
                // It does not heed its token.
                services.AddSingleton(new Code(async (_, input) =>
                {
                    await go.Task;
                    return input;
                }));
                services.AddHealthChecks().AddWorkflowEngine(new EngineHealthOptions { StrandedAfter = TimeSpan.Zero }, "engine", ["ready"]);
            });
        await IsAsync(worker, HealthStatus.Healthy);
        var stranded = await worker.Client.StartAsync("nobody's", 1, new StartOptions { Queue = TestWorker.Queue });
        Assert.That((await IsAsync(worker, HealthStatus.Degraded)).Data["stranded"], Is.EqualTo(1));
        await worker.Client.TerminateAsync(stranded.RunId);
        var run = await worker.BeginAsync(1);
        await Eventually.TrueAsync(async () => (int)(await IsAsync(worker, HealthStatus.Healthy)).Data["executing"] == 1, "the run executes");
        var healthy = await IsAsync(worker, HealthStatus.Healthy);
        Assert.That(healthy.Data["slots"], Is.EqualTo(16));
        Assert.That(healthy.Data["last_claim_age_seconds"], Is.LessThan(30.0));
        Assert.That(healthy.Data["pooled"], Is.False);

        await database.ExecuteAsync("update engine.worker set state = 'lost'");
        Assert.That((await IsAsync(worker, HealthStatus.Unhealthy)).Description, Does.Contain("lease"));
        go.SetResult();
        await IsAsync(worker, HealthStatus.Healthy);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(1));

        go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await worker.BeginAsync(2);
        await Eventually.TrueAsync(async () => (int)(await IsAsync(worker, HealthStatus.Healthy)).Data["executing"] == 1, "the run executes");
        var stopping = worker.StopAsync();
        Assert.That((await IsAsync(worker, HealthStatus.Degraded)).Description, Does.Contain("draining"));
        go.SetResult();
        await stopping;
    }

    [Test]
    public void An_option_out_of_range_is_refused_by_name()
    {
        var checks = new ServiceCollection().AddHealthChecks();
        Assert.That(
            () => checks.AddWorkflowEngine(new EngineHealthOptions { Timeout = TimeSpan.Zero }), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Timeout"));
    }

    private static async Task<HealthReportEntry> IsAsync(TestWorker worker, HealthStatus status)
    {
        HealthReportEntry entry = default;
        await Eventually.TrueAsync(
            async () => (entry = (await worker.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync()).Entries["engine"]).Status == status, $"{status}");
        return entry;
    }
}

using Exporter.Engine.Client;
using Exporter.Engine.Workers;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>A worker whose workflow "code" is the test's, and which gives its slots back after a short wait.</summary>
internal static class CodeWorker
{
    public static WorkerOptions Patient { get; } = TestWorker.Quick with { LongestWaitInSlot = TimeSpan.FromMilliseconds(100) };

    public static Task<TestWorker> StartAsync(
        TestDatabase database, Func<IWorkflowContext, int, Task<int>> code, WorkerOptions? options = null) =>
        TestWorker.StartAsync(
            database.ConnectionString, engine => engine.AddWorkflow<Code>("code"), options ?? Patient, services => services.AddSingleton(new Code(code)));

    public static async Task<Guid> BeginAsync(this TestWorker worker, int input = 0, StartOptions? options = null) =>
        (await worker.Client.StartAsync("code", input, (options ?? new StartOptions()) with { Queue = TestWorker.Queue })).RunId;

    public static Task<int> ResultAsync(this TestWorker worker, Guid runId) => worker.Client.ResultAsync<int>(runId);

    /// <summary>Whether the worker executes a run, as it knows itself, and it is as asked.</summary>
    public static bool Executes(this TestWorker worker, Guid runId, Predicate<RunExecution> isSo) =>
        worker.Services.GetServices<IHostedService>().OfType<Worker>().Any(of => of.Session?.Held.Any(run => run.RunId == runId && isSo(run)) == true);

    public static async Task<RunFailedException> FailureAsync(this TestWorker worker, Guid runId) =>
        (await Assert.ThrowsAsync<RunFailedException>(async () => await worker.Client.ResultAsync<int>(runId)))!;

    public static Task IsAsync(this TestWorker worker, Guid runId, RunState state) =>
        Eventually.TrueAsync(async () => (await worker.Client.GetAsync(runId))!.State == state, $"the run is {state}");
}

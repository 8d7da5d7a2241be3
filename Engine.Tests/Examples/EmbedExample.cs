using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Examples;

public sealed class EmbedExample
{
    public sealed class Greeting : IWorkflow<string, string>
    {
        public Task<string> RunAsync(IWorkflowContext run, string name) =>
            run.StepAsync("greet", step => Task.FromResult($"Hello, {name}"));
    }

    [Test]
    public async Task A_host_executes_a_run()
    {
        var connectionString = await TestPostgres.NewDatabaseAsync();
        string[] args = [];

        #region README embed
        await EngineSchema.MigrateAsync(connectionString);
        var builder = Host.CreateApplicationBuilder(args);
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddWorkflowEngine(connectionString)
            .AddWorkflow<Greeting>("greeting")
            .AddWorker("default", slots: 16);
        using var host = builder.Build();
        await host.StartAsync();
        var client = host.Services.GetRequiredService<EngineClient>();
        var run = await client.StartAsync("greeting", "Ada");
        Assert.That(await client.ResultAsync<string>(run.RunId), Is.EqualTo("Hello, Ada"));
        #endregion

        await host.StopAsync();
    }
}

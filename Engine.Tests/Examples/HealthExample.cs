using System.Net;
using Exporter.Engine.Health;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Examples;

public sealed class HealthExample
{
    [Test]
    public async Task Health_over_http_follows_the_schema_and_the_death_and_return_of_PostgreSQL()
    {
        await using var server = await LocalPostgres.StartAsync();
        var connectionString = await server.CreateDatabaseAsync();
        string[] args = [];

        #region README health
        var builder = WebApplication.CreateBuilder(args);
        builder.Services.AddWorkflowEngine(connectionString)
            .AddWorkflow<EmbedExample.Greeting>("greeting")
            .AddWorker("default", slots: 16);
        builder.Services.AddHealthChecks().AddWorkflowEngine();
        await using var app = builder.Build();
        app.MapHealthChecks("/health");
        #endregion

        app.Urls.Add("http://127.0.0.1:0");
        await app.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()) };
        Task AnswersAsync(HttpStatusCode code, string text) => Eventually.TrueAsync(
            async () =>
            {
                using var answer = await http.GetAsync(new Uri("/health", UriKind.Relative));
                return answer.StatusCode == code && await answer.Content.ReadAsStringAsync() == text;
            },
            $"{code} {text}");
        await AnswersAsync(HttpStatusCode.ServiceUnavailable, "Unhealthy");
        await EngineSchema.MigrateAsync(connectionString);
        await AnswersAsync(HttpStatusCode.OK, "Healthy");
        await server.StopAsync();
        await AnswersAsync(HttpStatusCode.ServiceUnavailable, "Unhealthy");
        await server.RestartAsync();
        await AnswersAsync(HttpStatusCode.OK, "Healthy");
        await app.StopAsync();
    }
}

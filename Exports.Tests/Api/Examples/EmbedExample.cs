using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.AspNetCore.Builder;

namespace Exporter.Exports.Tests.Api.Examples;

/// <summary>The lines of README.md that embed batch exports in a host application, and that what they mount works.</summary>
internal sealed class EmbedExample
{
    [Test]
    public async Task A_host_has_batch_exports_and_their_API_below_its_own_path()
    {
        await using var database = await TestDatabase.NewAsync();
        var (postgres, encryptionKey) = (database.ConnectionString, database.Key);
        var clickHouse = (await TestServers.ClickHouseAsync()).ConnectionString;
        string[] args = ["--urls", "http://127.0.0.1:0"];

        #region README embed
        var builder = WebApplication.CreateBuilder(args);
        builder.Services.AddBatchExports(new BatchExportsOptions
        {
            Postgres = postgres,
            EncryptionKey = encryptionKey,
            Source = new ClickHouseOptions { ConnectionString = clickHouse },
        });
        await ExportSchema.MigrateAsync(postgres);
        var app = builder.Build();
        app.MapBatchExports("/exports");
        await app.StartAsync();
        #endregion

        await using var closing = app;
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var document = await http.GetStringAsync("/exports/api/v1/openapi.json");
        Assert.That(document, Does.Contain("\"url\":\"/exports/api/v1\""));
        using var refused = await http.GetAsync("/exports/api/v1/projects");
        Assert.That((int)refused.StatusCode, Is.EqualTo(401));
        await Engine.Tests.Eventually.TrueAsync(
            async () => await database.ScalarAsync<long>("select count(*) from engine.workers where alive") == 2, "it executes runs and backfills");
    }

    [Test]
    public async Task A_host_that_knows_its_users_says_who_asks()
    {
        await using var server = await ApiServer.StartAsync(api: new Exports.Api.BatchExportsApiOptions
        {
            Authenticate = http => ValueTask.FromResult(
                http.Request.Headers["X-User"] == "ann" ? new Caller("ann", [new AccessGrant("default", AccessRole.Operator)]) : null),
        });
        var ann = server.Of(null);
        ann.Http.DefaultRequestHeaders.Add("X-User", "ann");
        Assert.That((string?)(await ann.GetAsync("session")).Json["name"], Is.EqualTo("ann"));
        (await ann.PostAsync("projects/default/exports/none/pause")).Problem(404);
        (await ann.GetAsync("users")).Problem(403);
        (await server.Of(null).GetAsync("session")).Problem(401);
    }

    [Test]
    public Task The_readme_shows_the_code_that_is_tested() =>
        Engine.Tests.Examples.ShownCode.CheckAsync(Repository.PathOf("README.md"), Repository.PathOf("Exports.Tests/Api/Examples"));
}

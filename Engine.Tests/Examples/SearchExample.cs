using Exporter.Engine.Client;

namespace Exporter.Engine.Tests.Examples;

public sealed class SearchExample
{
    [Test]
    public async Task Runs_are_found_by_their_tags()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<StepsExample.Order>("order"));
        var client = engine.Client;

        #region README search
        await client.StartAsync("order", 5, new StartOptions { Tags = new Dictionary<string, string> { ["customer"] = "ada", ["country"] = "it" } });
        await client.StartAsync("order", 6, new StartOptions { Tags = new Dictionary<string, string> { ["customer"] = "bob", ["country"] = "it" } });
        var found = await client.ListAsync(new RunQuery { Workflow = "order", Tags = new Dictionary<string, string> { ["customer"] = "ada" } });
        #endregion

        Assert.That(found.Single().Tags["country"], Is.EqualTo("it"));
        await using var sql = engine.Data.CreateCommand("""select count(*) from engine.runs where tags @> '{"country": "it"}'""");
        Assert.That(await sql.ExecuteScalarAsync(), Is.EqualTo(2));
    }
}

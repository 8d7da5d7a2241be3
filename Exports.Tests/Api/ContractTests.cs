using System.Text.Json.Nodes;
using Exporter.Exports.Api;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>The OpenAPI document as it is served: it is the one that is checked in, and nobody may what the role does not say.</summary>
internal sealed class ContractTests
{
    [Test]
    public async Task Every_route_is_refused_without_the_role_that_it_needs()
    {
        await using var server = await ApiServer.StartAsync();
        await ServedApi.FillAsync(server);
        var document = (await server.Of(null).GetAsync("openapi.json")).Json;
        var by = new Dictionary<(AccessRole Role, bool All), ApiClient>();
        foreach (var role in Enum.GetValues<AccessRole>())
        {
            by[(role, false)] = await server.WithKeyAsync(role);
            by[(role, true)] = await server.WithKeyAsync(role, project: null);
        }

        var elsewhere = await server.WithKeyAsync(AccessRole.Admin, "others");
        var count = 0;
        foreach (var (path, method, operation) in ServedApi.Operations(document))
        {
            var need = ApiRoutes.All.Single(one => one.Id == (string)operation["operationId"]!).Need;
            var url = path.Replace("{project}", "default", StringComparison.Ordinal).Replace("{name}", "none", StringComparison.Ordinal).Replace("{id}", Guid.Empty.ToString(), StringComparison.Ordinal);
            if (need.Kind == ApiScope.Nobody)
            {
                continue;
            }

            count++;
            (await server.Of(null).SendAsync(method, url)).Problem(401);
            (await server.Of("exk_" + new string('a', 43)).SendAsync(method, url)).Problem(401);
            foreach (var ((role, all), client) in by)
            {
                var may = need.Kind switch { ApiScope.Known => true, ApiScope.Project => role >= need.Role, _ => all && role >= need.Role };
                var answer = await client.SendAsync(method, url);
                Assert.That(answer.Status == 403, Is.EqualTo(!may), $"{method} {url} by {role}{(all ? " of all" : "")}: {answer.Status}");
                Assert.That(answer.Status, Is.Not.EqualTo(401).And.LessThan(500));
            }

            if (need.Kind is ApiScope.Project or ApiScope.All)
            {
                (await elsewhere.SendAsync(method, url)).Problem(403);
            }
        }

        Assert.That(count, Is.EqualTo(ApiRoutes.All.Count - 1), "one needs no login: the login");
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task The_document_that_is_served_is_the_one_that_is_checked_in()
    {
        await using var server = await ApiServer.StartAsync();
        var served = (await server.Of(null).GetAsync("openapi.json")).Json;
        var text = served.ToJsonString(ExportJson.Indented) + "\n";
        var file = Repository.PathOf("docs/openapi.json");
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await File.WriteAllTextAsync(file, text);
        }

        Assert.That(text, Is.EqualTo(File.Exists(file) ? await File.ReadAllTextAsync(file) : ""), "docs/openapi.json; UPDATE_TEXTS=1 writes it anew");

        // Every reference leads somewhere, every name of an operation is its own, and every path's parameters are said.
        var schemas = served["components"]!["schemas"]!.AsObject();
        var references = References(served).ToHashSet();
        Assert.That(references.Where(reference => !schemas.ContainsKey(reference)), Is.Empty);
        Assert.That(schemas.Select(schema => schema.Key).Except(references), Is.Empty, "schemas that nothing uses");
        var operations = ServedApi.Operations(served).ToList();
        Assert.That(operations.Select(one => (string)one.Operation["operationId"]!), Is.Unique.And.EquivalentTo(ApiRoutes.All.Select(one => one.Id)));
        Assert.That(operations.Select(one => (string?)one.Operation["summary"]), Is.All.Matches<string?>(summary => summary?.EndsWith('.') == true));
    }

    private static IEnumerable<string> References(JsonNode? node) => node switch
    {
        JsonObject map => map.SelectMany(pair => pair.Key == "$ref" ? [((string)pair.Value!)["#/components/schemas/".Length..]] : References(pair.Value)),
        JsonArray list => list.SelectMany(References),
        _ => [],
    };
}

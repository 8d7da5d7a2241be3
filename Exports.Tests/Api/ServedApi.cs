using System.Text.Json.Nodes;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>What an OpenAPI document has, and a server with something in it: things of one's own and of others, and a secret.</summary>
internal static class ServedApi
{
    public const string OthersMark = "of-the-others";
    public const string Secret = "sssh-nobody-is-to-know-this";

    /// <summary>The operations of a document, with paths that a client of <see cref="ApiServer"/> can send.</summary>
    public static IEnumerable<(string Path, string Method, JsonObject Operation)> Operations(JsonNode document) =>
        from path in document["paths"]!.AsObject()
        from operation in path.Value!.AsObject()
        where operation.Key != "parameters"
        select (path.Key[1..], operation.Key.ToUpperInvariant(), operation.Value!.AsObject());

    /// <summary>Fills a server.</summary>
    public static async Task FillAsync(ApiServer server)
    {
        var database = server.Database;
        var destination = new Destination
        {
            Name = "bucket",
            Kind = "s3",
            Settings = new JsonObject { ["bucket"] = "events", ["region"] = "eu-central-1" },
            Secrets = new Dictionary<string, string> { ["access_key"] = Secret + "-1", ["secret_key"] = Secret },
        };
        await database.Destinations.CreateAsync(destination, "tester");
        var export = await database.Exports.CreateAsync(ModelFixture.Hourly(), "bucket", "tester");
        var run = await database.Control.StartAsync(export, ModelFixture.Hour(0), "tester");
        await ModelFixture.CompleteAsync(database, run, export, ModelFixture.Hour(0));
        await new ProjectStore(database.Data).CreateAsync("others", "tester");
        await database.Destinations.In("others").CreateAsync(destination with { Id = Guid.CreateVersion7(), Name = OthersMark }, "tester");
        await database.Exports.In("others").CreateAsync(ModelFixture.Hourly(OthersMark + "-export"), OthersMark, "tester");
    }
}

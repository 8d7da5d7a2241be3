using System.Text.Json.Serialization;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Examples;

public sealed partial class PayloadExample
{
    [Test]
    public async Task Payloads_are_encrypted_and_their_json_comes_from_generated_code()
    {
        await using var database = await TestDatabase.NewAsync();
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        var (newest, older) = (KeyRing.NewKey(), KeyRing.NewKey());

        #region README payloads
        // Keys of 32 bytes in base64, the newest first; older ones still read.
        var keys = KeyRing.Parse($"{newest},{older}");
        builder.Services
            .AddWorkflowEngine(database.ConnectionString, new PayloadCodec(keys, ShopJson.Default.Options))
            .AddWorkflow<Invoicing>("invoicing")
            .AddWorker("default", slots: 2);
        #endregion

        using var host = builder.Build();
        await host.StartAsync();
        var client = host.Services.GetRequiredService<EngineClient>();
        var run = await client.StartAsync("invoicing", new Basket("Ada's secret", 3));
        Assert.That(await client.ResultAsync<Invoice>(run.RunId), Is.EqualTo(new Invoice("Ada's secret", 30)));
        // Only what the context knows can be a payload: no reflection is left.
        await Assert.ThatAsync(() => client.StartAsync("invoicing", new Version(1, 0)), Throws.InstanceOf<NotSupportedException>());
        Assert.That(
            await database.ScalarAsync<long>("select count(*) from engine.run r join engine.outcome o using (run_id), lateral (values (r.input), (o.output)) p(bytes) where position('secret'::bytea in p.bytes) > 0"),
            Is.Zero);
        await host.StopAsync();
    }

    #region README source-generation
    public sealed record Basket(string Customer, int Books);

    public sealed record Invoice(string Customer, int Amount);

    [JsonSerializable(typeof(Basket))]
    [JsonSerializable(typeof(Invoice))]
    [JsonSerializable(typeof(int))]
    internal sealed partial class ShopJson : JsonSerializerContext;
    #endregion

    public sealed class Invoicing : IWorkflow<Basket, Invoice>
    {
        public async Task<Invoice> RunAsync(IWorkflowContext run, Basket basket) =>
            new(basket.Customer, await run.StepAsync("price", _ => Task.FromResult(basket.Books * 10)));
    }
}

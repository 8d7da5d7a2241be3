using System.Security.Cryptography;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Payloads;

/// <summary>Keys are changed while workers run, and the old one is needed no more.</summary>
public sealed class PayloadRotatorTests
{
    private static readonly string Old = KeyRing.NewKey();
    private static readonly string New = KeyRing.NewKey();

    [Test]
    public async Task After_a_rotation_while_workers_run_the_old_key_is_needed_no_more()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = new EngineClient(database.Data, Codec(Old));
        var both = Codec($"{New},{Old}");
        await new ScheduleClient(database.Data, Codec(Old)).PutAsync(
            new Schedule { Id = "yearly", Workflow = "code", Queue = "nobody", Spec = new ScheduleSpec { Cron = "0 0 1 1 *" } }, 5);
        var options = new StartOptions { Queue = TestWorker.Queue };
        var runs = await Task.WhenAll(Enumerable.Range(0, 60).Select(number => before.StartAsync("code", number, options)));
        foreach (var run in runs)
        {
            await before.SignalAsync(run.RunId, "go", 1000);
        }

        await using (var worker = await StartAsync(database, both))
        {
            var client = new EngineClient(database.Data, both);
            await Eventually.TrueAsync(async () => await database.ScalarAsync<long>("select count(*) from engine.step_record") > 20, "runs are under way");
            await new PayloadRotator(database.Data, both).RotateAsync(batch: 7);
            foreach (var run in runs)
            {
                await client.SignalAsync(run.RunId, "end", 0);
            }

            foreach (var (run, number) in runs.Select((run, number) => (run.RunId, number)))
            {
                Assert.That(await client.ResultAsync<int>(run), Is.EqualTo(1000 + number));
            }
        }

        var again = await new PayloadRotator(database.Data, both).RotateAsync();
        Assert.That(again.Select(part => part.Rotated), Is.All.Zero, "what the first one came by is under the new key, and so is all that came after");
        Assert.That(again.Single(part => part.Part == "steps").Seen, Is.EqualTo(60 * 3));
        var only = Codec(New);
        Assert.That(await new EngineClient(database.Data, only).ResultAsync<int>(runs[7].RunId), Is.EqualTo(1007));
        Assert.That((await new PayloadRotator(database.Data, only).RotateAsync()).Sum(part => part.Seen), Is.GreaterThan(300), "every payload can be looked at");
    }

    [Test]
    public async Task A_payload_under_a_key_that_is_not_there_stops_the_rotation_and_stays()
    {
        await using var database = await TestDatabase.NewAsync();
        await new EngineClient(database.Data, Codec(Old)).StartAsync("code", 1);
        await Assert.ThrowsAsync<CryptographicException>(async () => await new PayloadRotator(database.Data, Codec(New)).RotateAsync());
        Assert.That((await new PayloadRotator(database.Data, Codec(Old)).RotateAsync()).Sum(part => part.Rotated), Is.Zero);
    }

    [Test]
    public async Task Payloads_from_before_there_was_a_key_are_encrypted()
    {
        await using var database = await TestDatabase.NewAsync();
        await new EngineClient(database.Data, new PayloadCodec(KeyRing.Empty)).StartAsync("code", "hunter2hunter2");
        Assert.That((await new PayloadRotator(database.Data, Codec(New)).RotateAsync()).Sum(part => part.Rotated), Is.EqualTo(1));
        Assert.That(await database.ScalarAsync<bool>("select position('hunter2'::bytea in input) = 0 from engine.run"), Is.True);
    }

    private static PayloadCodec Codec(string keys) => new(KeyRing.Parse(keys));

    private static Task<TestWorker> StartAsync(TestDatabase database, PayloadCodec codec) => TestWorker.StartAsync(
        database.ConnectionString,
        engine => engine.AddWorkflow<Code>("code"),
        CodeWorker.Patient,
        services => services.AddSingleton(codec).AddSingleton(new Code(async (run, input) =>
        {
            var sum = (await run.WaitForSignalAsync<int>("go"))!.Value;
            sum += await run.StepAsync("input", _ => Task.FromResult(input));
            return sum + (await run.WaitForSignalAsync<int>("end"))!.Value;
        })));
}

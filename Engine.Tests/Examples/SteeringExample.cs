using Exporter.Engine.Client;

namespace Exporter.Engine.Tests.Examples;

public sealed class SteeringExample
{
    [Test]
    public async Task A_run_is_paused_resumed_reset_and_terminated()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<TimerExample.Reminder>("reminder"));
        var (client, run) = (engine.Client, (await engine.Client.StartAsync("reminder", "Ada")).RunId);
        await engine.AdvanceAsync(TimeSpan.FromDays(1));

        #region README steering
        await client.PauseAsync(run);
        await engine.AdvanceAsync(TimeSpan.FromDays(60));
        Assert.That((await client.GetAsync(run))!.State, Is.EqualTo(RunState.Paused));

        await client.ResumeAsync(run);
        Assert.That(await engine.RunToEndAsync<string>(run), Is.EqualTo("Your trial ends, Ada."));

        // All again from place 0, its timer; place 1 would repeat the step alone.
        await client.ResetAsync(run, place: 0);
        await engine.AdvanceAsync(TimeSpan.FromDays(29));
        await client.TerminateAsync(run, "Ada has paid");
        Assert.That((await client.GetAsync(run))!.State, Is.EqualTo(RunState.Terminated));
        #endregion
    }
}

using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class SignalExample
{
    #region README signals
    public sealed class Approval : IWorkflow<string, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, string what)
        {
            var answer = await run.WaitForSignalAsync<bool>("approved", timeout: TimeSpan.FromDays(3));
            return answer is null ? $"{what}: nobody answered" : answer.Value ? $"{what}: approved" : $"{what}: refused";
        }
    }
    #endregion

    [Test]
    public async Task A_signal_answers_and_time_answers_when_none_comes()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Approval>("approval"));
        var one = await engine.Client.StartAsync("approval", "one");
        var two = await engine.Client.StartAsync("approval", "two");
        await engine.Client.SignalAsync(one.RunId, "approved", true, idempotencyKey: "click 1");
        Assert.That(await engine.Client.ResultAsync<string>(one.RunId), Is.EqualTo("one: approved"));
        Assert.That(await engine.RunToEndAsync<string>(two.RunId), Is.EqualTo("two: nobody answered"));
    }
}

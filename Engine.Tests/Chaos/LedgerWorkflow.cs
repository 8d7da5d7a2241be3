using Dapper;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>
/// One of everything, with a line in the ledger at the beginning and end of each step, and when its output is used. An output
/// holds a value that can be computed, and a word that no two attempts share: two that were both taken for recorded differ.
/// </summary>
internal sealed class LedgerWorkflow(Ledger ledger) : IWorkflow<int, string[]>
{
    public const string Name = "ledger";
    public const string Signal = "go";
    public const string Committed = "create table committed (run_id uuid not null, output text not null);";
    private const int Parts = 5;

    /// <summary>What the outputs of a run must be, in this order, but for their words.</summary>
    public static IEnumerable<string> Expected(int number) =>
    [
        $"first:{Value(number, "first")}",
        .. Enumerable.Range(0, Parts).Select(part => $"part {part}:{Value(number, $"part {part}")}"),
        $"signal:{number}", $"signal:{number + 1}",
        $"beside:{Value(number, "beside")}",
        .. LedgerChild.Expected(number),
        $"committed:{Value(number, "committed")}",
        $"last:{Value(number, "last")}",
    ];

    public static int Value(int number, string key) => (number * 31) + key.Sum(letter => letter);

    public async Task<string[]> RunAsync(IWorkflowContext run, int number)
    {
        var trail = new Trail(run, ledger, number);
        await trail.StepAsync("first", 1);
        await trail.StepsAsync("part", Parts, 2);
        await run.SleepAsync(TimeSpan.FromMilliseconds(number % 4 * 200));
        for (var signal = 0; signal < 2; signal++)
        {
            trail.Outputs.Add($"signal:{(await run.WaitForSignalAsync<int>(Signal))!.Value}");
        }

        var child = await run.StartChildAsync(LedgerChild.Name, number);
        await trail.StepAsync("beside", 3);
        trail.Outputs.AddRange(await run.ChildResultAsync<string[]>(child));
        var output = await run.StepInTransactionAsync(
            "committed",
            async (step, transaction) =>
            {
                var mine = await trail.BeginAsync(step, "committed", 4);
                await transaction.Connection!.ExecuteAsync("insert into committed values (@RunId, @mine)", new { step.RunId, mine }, transaction);
                return await trail.EndAsync(step, "committed", 4, mine);
            },
            Trail.Options);
        await trail.UseAsync("committed", 4, output);
        await trail.StepAsync("last", 5);
        return [.. trail.Outputs];
    }
}

/// <summary>The child: two steps and a timer.</summary>
internal sealed class LedgerChild(Ledger ledger) : IWorkflow<int, string[]>
{
    public const string Name = "ledger-child";

    public static IEnumerable<string> Expected(int number) =>
        new[] { "one", "two" }.Select(key => $"{key}:{LedgerWorkflow.Value(number, key)}");

    public async Task<string[]> RunAsync(IWorkflowContext run, int number)
    {
        var trail = new Trail(run, ledger, number);
        await trail.StepAsync("one", 1);
        await run.SleepAsync(TimeSpan.FromMilliseconds(number % 3 * 150));
        await trail.StepAsync("two", 2);
        return [.. trail.Outputs];
    }
}

/// <summary>The steps of one execution of a run, each in the ledger, and the outputs in the order in which the code had them.</summary>
internal sealed class Trail(IWorkflowContext run, Ledger ledger, int number)
{
    public static StepOptions Options { get; } = new()
    {
        Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(100), MaximumInterval = TimeSpan.FromSeconds(1) },
    };

    public List<string> Outputs { get; } = [];

    public async Task StepAsync(string key, int stage) =>
        await UseAsync(key, stage, await run.StepAsync(key, step => BodyAsync(step, key, stage), Options));

    public async Task StepsAsync(string name, int count, int stage)
    {
        var outputs = await run.StepsAsync(
            name, Enumerable.Range(0, count).ToArray(), 3, (step, part) => BodyAsync(step, $"{name} {part}", stage), Options);
        for (var part = 0; part < count; part++)
        {
            await UseAsync($"{name} {part}", stage, outputs[part]);
        }
    }

    public async Task<string> BeginAsync(IStepContext step, string key, int stage)
    {
        await ledger.WriteAsync(run.RunId, key, stage, step.Place, Ledger.Began, step.FencingToken, step.Attempt, "");
        return $"{key}:{LedgerWorkflow.Value(number, key)}#{Guid.NewGuid():N}";
    }

    public async Task<string> EndAsync(IStepContext step, string key, int stage, string output)
    {
        await ledger.WriteAsync(run.RunId, key, stage, step.Place, Ledger.Ended, step.FencingToken, step.Attempt, output);
        return output;
    }

    public async Task UseAsync(string key, int stage, string output)
    {
        await ledger.WriteAsync(run.RunId, key, stage, -1, Ledger.Used, run.Epoch, 0, output);
        Outputs.Add(output);
    }

    // Not by its token: like code that is frozen or does not listen, it goes on until it is done.
    private async Task<string> BodyAsync(IStepContext step, string key, int stage)
    {
        var output = await BeginAsync(step, key, stage);
        await Task.Delay(Random.Shared.Next(ledger.IsSlow ? 400 : 5, ledger.IsSlow ? 1000 : 250));
        return await EndAsync(step, key, stage, output);
    }
}

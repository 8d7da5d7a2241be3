using System.Collections.Concurrent;
using System.Diagnostics;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Queues;

/// <summary>Counts what executes at once, over all workers of the test, in the step's own code.</summary>
internal sealed class Gauge
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _now = [];

    public Dictionary<string, int> Most { get; } = [];

    public ConcurrentQueue<(string Key, TimeSpan At)> Started { get; } = new();

    public Stopwatch Clock { get; } = Stopwatch.StartNew();

    /// <summary>Steps wait here while it is not open.</summary>
    public TaskCompletionSource Gate { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public int MostOf(string key)
    {
        lock (_lock)
        {
            return Most.GetValueOrDefault(key);
        }
    }

    public void Enter(string key)
    {
        Started.Enqueue((key, Clock.Elapsed));
        lock (_lock)
        {
            foreach (var name in new[] { key, "all" })
            {
                _now[name] = _now.GetValueOrDefault(name) + 1;
                Most[name] = Math.Max(Most.GetValueOrDefault(name), _now[name]);
            }
        }
    }

    public void Leave(string key)
    {
        lock (_lock)
        {
            _now[key]--;
            _now["all"]--;
        }
    }
}

/// <summary>A run that is in the gauge for some time: its input is "key milliseconds", "key gate" or "key sleep".</summary>
internal sealed class GaugedWorkflow(Gauge gauge) : IWorkflow<string, string>
{
    public async Task<string> RunAsync(IWorkflowContext run, string input)
    {
        var (key, how) = (input.Split(' ')[0], input.Split(' ')[1]);
        if (how == "sleep")
        {
            await run.SleepAsync(TimeSpan.FromDays(1));
        }

        return await run.StepAsync("in the gauge", async step =>
        {
            gauge.Enter(key);
            try
            {
                await (how == "gate" ? gauge.Gate.Task : Task.Delay(int.Parse(how), step.CancellationToken)).WaitAsync(step.CancellationToken);
                return key;
            }
            finally
            {
                gauge.Leave(key);
            }
        });
    }
}

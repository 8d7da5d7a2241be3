using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Exporter.Engine.Observability;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>The runs that a worker holds now, each from its claim until it has left.</summary>
internal sealed class HeldRuns(ILogger logger)
{
    private readonly ConcurrentDictionary<Guid, Held> _runs = new();

    public int Count => _runs.Count;

    public bool IsEmpty => _runs.IsEmpty;

    public Guid[] Ids => [.. _runs.Keys];

    public IEnumerable<RunExecution> All => _runs.Values.Select(held => held.Run);

    public bool TryGet(Guid runId, [NotNullWhen(true)] out RunExecution? run)
    {
        run = _runs.TryGetValue(runId, out var held) ? held.Run : null;
        return run is not null;
    }

    /// <summary>Holds a run from now on.</summary>
    /// <param name="run">The run.</param>
    /// <param name="execute">Begins its execution once it can be seen; what it returns ends when the run has left.</param>
    public void Add(RunExecution run, Func<RunExecution, Task> execute)
    {
        var held = new Held(run);
        _runs[run.RunId] = held;
        held.Left = execute(run);
    }

    public void Remove(RunExecution run) => _runs.TryRemove(run.RunId, out _);

    /// <summary>Tells all to end.</summary>
    public void DropAll()
    {
        foreach (var run in All)
        {
            try
            {
                run.Drop();
            }
            catch (AggregateException error)
            {
                // What the run's code does when it is told must not keep the others from being told.
                EngineLog.TriedAgain(logger, $"Telling run {run.RunId} to end", ErrorText.Of(error));
            }
        }
    }

    /// <summary>Waits until those that are held now have left, for so long at most or until a token fires.</summary>
    public async Task LeftAsync(TimeSpan longest, TimeProvider time, CancellationToken until)
    {
        var all = Task.WhenAll(_runs.Values.Select(held => held.Left).ToArray());
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(until);
        await Task.WhenAny(all, Task.Delay(longest, time, ended.Token)).ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
    }

    private sealed class Held(RunExecution run)
    {
        public RunExecution Run => run;

        /// <summary>Ends when the run has left this worker.</summary>
        public Task Left { get; set; } = Task.CompletedTask;
    }
}

using Exporter.Engine.Workflows;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// What ClickHouse has read to plan a run, written down every few seconds while it reads: of a large table counting takes minutes, in
/// which nothing has moved yet. Beside the work and never in its way.
/// </summary>
internal sealed class PlanningProgress(ClickHouseSource source, RunStore runs, TimeProvider time, ILogger<PlanningProgress> log)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Plans, and gives signs of life; queries of <paramref name="plan"/> are named after run and attempt.</summary>
    public async Task<T> WhileAsync<T>(IStepContext step, string export, Func<Task<T>> plan)
    {
        using var watch = QueryNames.Watch(step, export, "plan");
        var planning = plan();
        var writing = WriteAsync(step, watch, planning);
        try
        {
            return await Heartbeats.WhileAsync(step, planning).ConfigureAwait(false);
        }
        finally
        {
            await writing.ConfigureAwait(false);
        }
    }

    private async Task WriteAsync(IStepContext step, QueryWatch watch, Task planning)
    {
        await WriteAsync(step, default).ConfigureAwait(false);
        while (true)
        {
            using var done = new CancellationTokenSource();
            await Task.WhenAny(planning, Task.Delay(SliceAttempt.Interval, time, done.Token)).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
            if (planning.IsCompleted)
            {
                await WriteAsync(step, watch.Ended).ConfigureAwait(false);
                return;
            }

            await WriteAsync(step, await ReadAsync(watch).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    private async Task<QueriesRead> ReadAsync(QueryWatch watch)
    {
        var ended = watch.Ended;
        try
        {
            using var patience = new CancellationTokenSource(Patience, time);
            var running = await source.ProgressOfAllAsync(watch.IdPrefix, patience.Token).ConfigureAwait(false);
            return new QueriesRead(ended.Queries, ended.Rows + running.Sum(one => one.ReadRows), ended.Bytes + running.Sum(one => one.ReadBytes));
        }
        catch (Exception)
        {
            // ClickHouse has better things to do, or cannot be reached, which planning itself will tell.
            return ended;
        }
    }

    private async Task WriteAsync(IStepContext step, QueriesRead read)
    {
        try
        {
            using var patience = new CancellationTokenSource(Patience, time);
            await runs.SeePlanningAsync(step.RunId, step.FencingToken, step.Attempt, read, patience.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            PipelineLog.PlanningNotWritten(log, step.RunId, error.Message);
        }
    }
}

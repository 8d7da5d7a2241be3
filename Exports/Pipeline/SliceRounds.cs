using System.Globalization;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// Exports slices, then the halves of those that were split, until none is left; and exports those again whose rows at the source
/// are not those that were exported. Everything is a recorded step, so all of it goes on where it was.
/// </summary>
internal sealed class SliceRounds(SliceExporter exporter, SliceCounter counter, RunStore runs, DestinationOfRun destinations, ExportPauser pauser)
{
    // A source whose rows of a past interval change three times while it is exported goes on changing.
    private const int MostRounds = 3;

    private static readonly RetryPolicy ForEver = new() { MaximumInterval = TimeSpan.FromMinutes(10) };

    /// <summary>Attempts may take as long as years of production have shown that they do; signs of life come with every batch.</summary>
    public static StepOptions OptionsFor(DataInterval interval) => new()
    {
        HeartbeatTimeout = TimeSpan.FromMinutes(5),
        Retry = ForEver,
        StartToClose = (interval.End - interval.Start) switch
        {
            var length when length > TimeSpan.FromDays(1) => TimeSpan.FromDays(3),
            var length when length > TimeSpan.FromHours(1) => TimeSpan.FromDays(1),
            _ => TimeSpan.FromHours(6),
        },
    };

    /// <summary>The run's destination; its errors come sorted.</summary>
    public Task<IDestination> OpenAsync(IStepContext step, RunOrder order) =>
        ErrorClassifier.SortedAsync(() => destinations.OpenAsync(order.Export, step.CancellationToken));

    /// <summary>Exports slices, and what they are split into.</summary>
    public async Task<IReadOnlyList<ExportedSlice>> ExportAsync(IWorkflowContext run, RunWork work, IReadOnlyList<Slice> slices)
    {
        var exported = new List<ExportedSlice>();
        while (slices.Count > 0)
        {
            var parallel = work.RowOrder == RowOrder.InRun ? 1 : work.Order.Export.Settings.ParallelSlices;
            var outcomes = await run.StepsAsync("slice", slices, parallel, async (step, slice) =>
            {
                var destination = await OpenAsync(step, work.Order).ConfigureAwait(false);
                return await ErrorClassifier.SortedAsync(
                    () => pauser.PausingAsync(work.Order.Export, destination, () => exporter.ExportAsync(step, work, slice, destination)),
                    destination).ConfigureAwait(false);
            }, OptionsFor(work.Order.Interval)).ConfigureAwait(false);
            exported.AddRange(slices.Zip(outcomes)
                .Where(pair => pair.Second.Receipt is not null)
                .Select(pair => new ExportedSlice(pair.First, pair.Second.Receipt!)));
            slices = [.. outcomes.SelectMany(outcome => outcome.Halves ?? [])];
        }

        return exported;
    }

    /// <summary>Counts slices at the source again, as a step; answers them with what it has now.</summary>
    public async Task<IReadOnlyList<ExportedSlice>> CompareAsync(IWorkflowContext run, RunWork work, IReadOnlyList<ExportedSlice> exported)
    {
        var counted = await run.StepAsync("compare", step => ErrorClassifier.SortedAsync(async () =>
        {
            if (step.TryGetCheckpoint<IReadOnlyList<Slice>>(out var recorded))
            {
                return recorded;
            }

            var slices = exported.Select(one => one.Slice).ToList();
            using var watch = QueryNames.Watch(step, work.Order.Export.Name, string.Create(CultureInfo.InvariantCulture, $"compare-{step.Place}"));
            var counts = await Heartbeats.WhileAsync(
                step, counter.NowAsync(work.Order.Export.Model, slices, step.CancellationToken)).ConfigureAwait(false);
            IReadOnlyList<Slice> now = [.. slices.Zip(counts, (slice, count) => slice with { ExpectedRows = count.Rows, ExpectedKeyHash = count.KeyHash })];
            await step.CommitAsync(now, (transaction, token) => runs.CountSlicesAsync(transaction, work.RunId, now, token)).ConfigureAwait(false);
            return now;
        }), OptionsFor(work.Order.Interval)).ConfigureAwait(false);
        return [.. exported.Zip(counted, (one, slice) => one with { Slice = slice })];
    }

    /// <summary>Exports again what is not as the source has it, until it is.</summary>
    /// <returns>All slices, by number.</returns>
    /// <exception cref="NonRetryableException">The source goes on changing.</exception>
    public async Task<IReadOnlyList<ExportedSlice>> SettleAsync(IWorkflowContext run, RunWork work, IReadOnlyList<ExportedSlice> exported)
    {
        var all = exported.ToDictionary(one => one.Slice.Number);
        for (var round = 0; ; round++)
        {
            // Most often the counts of the plan still hold, and nothing is asked.
            var doubtful = all.Values.Where(one => !one.Agrees).OrderBy(one => one.Slice.Number).ToList();
            foreach (var one in doubtful.Count == 0 ? [] : await CompareAsync(run, work, doubtful).ConfigureAwait(false))
            {
                all[one.Slice.Number] = one;
            }

            var changed = doubtful.Select(one => all[one.Slice.Number]).Where(one => !one.Agrees).ToList();
            if (changed.Count == 0)
            {
                return [.. all.Values.OrderBy(one => one.Slice.Number)];
            }

            var first = changed[0];
            var difference = string.Create(
                CultureInfo.InvariantCulture,
                $"{changed.Count} slices differ from the source, such as slice {first.Slice.Number}: {first.Rows} rows were exported and the source has {first.Slice.ExpectedRows} now");
            if (round == MostRounds || work.InPieces)
            {
                throw new NonRetryableException(
                    $"{difference}{(first.Rows == first.Slice.ExpectedRows ? ", with other keys or versions" : "")}: rows of the interval are still changing. Setting: settle_delay. Make it longer, and export the interval again.");
            }

            run.Log(LogLevel.Warning, $"{difference}. They are exported again.");
            foreach (var gone in changed)
            {
                all.Remove(gone.Slice.Number);
            }

            foreach (var again in await ExportAsync(run, work, [.. changed.Select(one => one.Slice)]).ConfigureAwait(false))
            {
                all[again.Slice.Number] = again;
            }
        }
    }

    /// <summary>Makes the run visible as a whole, as a step.</summary>
    public Task<bool> FinishAsync(IWorkflowContext run, RunWork work, IReadOnlyList<ExportedSlice> exported) => run.StepAsync("finish", async step =>
    {
        var destination = await OpenAsync(step, work.Order).ConfigureAwait(false);
        return await ErrorClassifier.SortedAsync(async () =>
        {
            await destination.FinishAsync(
                new RunManifest
                {
                    Export = work.Order.Export.PlaceName, Interval = work.Order.Interval, RunId = work.RunId,
                    Table = work.Order.Export.Model.Table ?? "",
                    Slices = [.. exported.Select(one => one.Receipt)],
                },
                step.CancellationToken).ConfigureAwait(false);
            return true;
        }, destination).ConfigureAwait(false);
    }, OptionsFor(work.Order.Interval));
}

using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>What a run is to do, fixed when it begins.</summary>
/// <param name="Export">The batch export as it was then.</param>
/// <param name="Interval">The data interval.</param>
public sealed record RunOrder(BatchExport Export, DataInterval Interval)
{
    /// <summary>An own query's parameters are the run's interval, whatever part of it is read.</summary>
    internal static RunOrder Of(BatchExport export, DataInterval interval) =>
        new(export with { Model = export.Model with { Interval = interval } }, interval);
}

/// <summary>
/// Batch export runs and their slices. What a run writes joins the transaction of the step that writes it, so the engine's
/// lock on the run keeps an old holder out.
/// </summary>
public sealed class RunStore(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/runs.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");
    private readonly ExportDatabase _quarantine = new(data, "sql/quarantine.sql");

    /// <summary>The first step of a run: what it is to do. A run that a schedule started gets its row here.</summary>
    /// <param name="transaction">The step's.</param>
    /// <param name="runId">The run.</param>
    /// <param name="input">The run's input.</param>
    /// <param name="scheduledFor">The occurrence that started it; null when none did.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">The export was deleted, or its interval overlaps another one's in part.</exception>
    public async Task<RunOrder> BeginAsync(
        NpgsqlTransaction transaction, Guid runId, ExportInput input, DateTimeOffset? scheduledFor, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        await BatchExportStore.LockAsync(_exports, transaction, input.BatchExportId, null, cancellationToken).ConfigureAwait(false);
        var view = await _exports.ViewAsync<BatchExportView>(
            transaction, "LoadBatchExport", new { Id = input.BatchExportId }, cancellationToken).ConfigureAwait(false);
        var export = view!.ToBatchExport();
        if (await _database.FirstAsync<IntervalRow>(transaction, "FindInterval", new { RunId = runId }, cancellationToken).ConfigureAwait(false) is { } known)
        {
            return RunOrder.Of(export, known.ToInterval());
        }

        var occurrence = scheduledFor ?? throw new InvalidOperationException($"Run {runId} has neither a row in exports.run nor an occurrence.");
        var interval = export.Schedule.IntervalFor(occurrence);
        await InsertAsync(transaction, new(runId, export.Id, interval, RunTrigger.Schedule), cancellationToken).ConfigureAwait(false);
        return RunOrder.Of(export, interval);
    }

    /// <summary>Records the plan; its slices never change again.</summary>
    /// <param name="transaction">The step's.</param>
    /// <param name="runId">The run.</param>
    /// <param name="slices">Numbered from 0 without gaps; none when there are no rows.</param>
    /// <param name="expectedBytes">About how many bytes their rows have in the source, uncompressed; null when that is not known.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="InvalidOperationException">The run has a plan already.</exception>
    public async Task PlanAsync(NpgsqlTransaction transaction, Guid runId, IReadOnlyList<Slice> slices, long? expectedBytes, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(slices);
        var planned = await _database.ExecuteAsync(
            transaction,
            "PlanRun",
            new { RunId = runId, Slices = slices.Count, ExpectedRows = slices.Sum(slice => slice.ExpectedRows), ExpectedBytes = expectedBytes },
            cancellationToken).ConfigureAwait(false);
        if (planned != 1)
        {
            throw new InvalidOperationException($"Run {runId} has a plan already, or no row in exports.run.");
        }

        await InsertSlicesAsync(transaction, runId, slices, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes what planning has read so far; an attempt that another has followed changes nothing.</summary>
    internal Task SeePlanningAsync(Guid runId, long epoch, int attempt, Sources.QueriesRead read, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(
            "SeePlanning",
            new { RunId = runId, Epoch = epoch, Attempt = attempt, read.Queries, ReadRows = read.Rows, ReadBytes = read.Bytes },
            cancellationToken);

    /// <summary>Records what a run is to do and its columns, so that a slice can be exported again in the same way.</summary>
    internal Task RecordOrderAsync(NpgsqlTransaction transaction, Guid runId, RecordedOrder order, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(transaction, "RecordOrder", new { RunId = runId, Plan = ExportJson.Write(order) }, cancellationToken);

    /// <summary>What a finished run was to do.</summary>
    /// <exception cref="UserErrorException">It is not finished, or an older version of this program ran it.</exception>
    internal async Task<FinishedRun> LoadFinishedAsync(NpgsqlTransaction transaction, Guid runId, CancellationToken cancellationToken) =>
        await _database.ViewAsync<FinishedRun>(transaction, "LoadOrder", new { RunId = runId }, cancellationToken).ConfigureAwait(false)
            ?? throw new UserErrorException("run", $"Run {runId} is not completed.", "Only a completed run can be looked at again; see `exporter run list`.");

    /// <summary>Bytes of a row at the destination in the latest runs of the same model and format; null when there were none.</summary>
    internal async Task<double?> WrittenRowBytesAsync(BatchExport export, CancellationToken cancellationToken) =>
        await _database.FirstAsync<double?>(
            "WrittenRatio",
            new { BatchExportId = export.Id, Plan = ExportJson.Write(new { Export = new { export.Model, export.Format } }) },
            cancellationToken).ConfigureAwait(false);

    /// <summary>Records that two halves take the place of a slice; alongside the checkpoint that says so.</summary>
    internal async Task SplitSliceAsync(
        NpgsqlTransaction transaction, Guid runId, int slice, IReadOnlyList<Slice> halves, CancellationToken cancellationToken)
    {
        await _quarantine.ExecuteAsync(transaction, "ClearSlice", new { RunId = runId, Slice = slice }, cancellationToken).ConfigureAwait(false);
        if (await _database.ExecuteAsync(transaction, "SplitSlice", new { RunId = runId, Slice = slice }, cancellationToken).ConfigureAwait(false) != 1)
        {
            throw new InvalidOperationException($"The plan of run {runId} has no slice {slice} that can be split.");
        }

        await InsertSlicesAsync(transaction, runId, halves, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Records what the source has of slices now.</summary>
    internal Task CountSlicesAsync(NpgsqlTransaction transaction, Guid runId, IReadOnlyList<Slice> slices, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(
            transaction,
            "CountSlice",
            new
            {
                RunId = runId,
                Numbers = slices.Select(slice => slice.Number).ToArray(),
                Rows = slices.Select(slice => slice.ExpectedRows).ToArray(),
                KeyHashes = slices.Select(slice => (decimal?)slice.ExpectedKeyHash).ToArray(),
            },
            cancellationToken);

    private Task<int> InsertSlicesAsync(NpgsqlTransaction transaction, Guid runId, IReadOnlyList<Slice> slices, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(
            transaction,
            "InsertSlices",
            new
            {
                RunId = runId,
                Numbers = slices.Select(slice => slice.Number).ToArray(),
                Starts = slices.Select(slice => slice.Range.Start.UtcDateTime).ToArray(),
                Ends = slices.Select(slice => slice.Range.End.UtcDateTime).ToArray(),
                Buckets = slices.Select(slice => slice.HashBucket).ToArray(),
                BucketCounts = slices.Select(slice => slice.HashBuckets).ToArray(),
                ExpectedRows = slices.Select(slice => slice.ExpectedRows).ToArray(),
                SplitFrom = slices.Select(slice => slice.SplitFrom).ToArray(),
                KeyHashes = slices.Select(slice => (decimal?)slice.ExpectedKeyHash).ToArray(),
            },
            cancellationToken);

    /// <summary>Records that a slice is in the destination; alongside its checkpoint, after the destination's own commit.</summary>
    /// <param name="transaction">The checkpoint's.</param>
    /// <param name="runId">The run.</param>
    /// <param name="receipt">What the destination answered.</param>
    /// <param name="sourceBytes">Bytes that came over the wire from the source, in the attempt that committed.</param>
    /// <param name="attempt">That attempt, from 1.</param>
    /// <param name="epoch">The run's epoch.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="InvalidOperationException">The plan has no such slice.</exception>
    public async Task CommitSliceAsync(
        NpgsqlTransaction transaction, Guid runId, SliceReceipt receipt, long sourceBytes, int attempt, long epoch, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(receipt);
        var committed = await _database.ExecuteAsync(
            transaction,
            "CommitSlice",
            new
            {
                RunId = runId,
                receipt.Slice,
                receipt.Rows,
                receipt.Bytes,
                receipt.File,
                receipt.Sha256,
                SourceBytes = sourceBytes,
                Attempt = attempt,
                Epoch = epoch,
                KeyHash = (decimal?)receipt.KeyHash,
                receipt.QuarantinedRows,
                QuarantinedKeyHash = (decimal?)receipt.QuarantinedKeyHash,
                receipt.NulledValues,
            },
            cancellationToken).ConfigureAwait(false);
        if (committed != 1)
        {
            throw new InvalidOperationException($"The plan of run {runId} has no slice {receipt.Slice}.");
        }
    }

    /// <summary>What every committed slice left in the destination, in order.</summary>
    public async Task<IReadOnlyList<SliceReceipt>> ReceiptsAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await _database.ViewsAsync<SliceReceipt>("Receipts", new { RunId = runId }, cancellationToken).ConfigureAwait(false);

    /// <summary>Writes the run's totals and that its interval is covered; after the destination's own finish.</summary>
    /// <param name="transaction">The step's.</param>
    /// <param name="runId">The run.</param>
    /// <param name="batchExportId">Its export.</param>
    /// <param name="lateRows">Rows that were not there when the run was planned.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="InvalidOperationException">A slice is not committed.</exception>
    /// <exception cref="UserErrorException">Another run has covered a part of the interval.</exception>
    public async Task FinishAsync(NpgsqlTransaction transaction, Guid runId, Guid batchExportId, long lateRows, CancellationToken cancellationToken)
    {
        await BatchExportStore.LockAsync(_exports, transaction, batchExportId, null, cancellationToken).ConfigureAwait(false);
        var interval = await _database.FirstAsync<IntervalRow>(transaction, "FindInterval", new { RunId = runId }, cancellationToken).ConfigureAwait(false)
            ?? throw new InvalidOperationException($"Run {runId} has no row in exports.run.");
        if (await FindCoverageAsync(transaction, runId, batchExportId, interval.ToInterval(), cancellationToken).ConfigureAwait(false) is { } obstacle)
        {
            throw obstacle.Error;
        }

        var finished = await _database.ExecuteAsync(
            transaction, "FinishRun", new { RunId = runId, LateRows = lateRows }, cancellationToken).ConfigureAwait(false);
        if (finished != 1)
        {
            throw new InvalidOperationException($"Run {runId} has slices that are not committed, so it cannot be finished.");
        }

        await _database.ExecuteAsync(transaction, "Cover", new { RunId = runId }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A row of <c>exports.runs</c>.</summary>
    /// <exception cref="UserErrorException">There is no such run.</exception>
    public async Task<RunView> GetAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<RunView>("FindRun", new { RunId = runId }, cancellationToken).ConfigureAwait(false)
            ?? throw new UserErrorException("run", $"There is no batch export run {runId}.", "See `exporter run list`.", reason: UserErrorReason.NotFound);

    /// <summary>Runs, the newest first.</summary>
    public Task<IReadOnlyList<RunView>> ListAsync(RunFilter filter, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<RunView>(
            "ListRuns",
            new
            {
                filter.Project, filter.BatchExport, filter.State, filter.BackfillId, AfterAt = filter.After?.CreatedAt.UtcDateTime, AfterId = filter.After?.Id,
                filter.Limit,
            },
            cancellationToken);

    /// <summary>The slices of a run, in order.</summary>
    public Task<IReadOnlyList<SliceView>> SlicesAsync(Guid runId, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<SliceView>("ListSlices", new { RunId = runId }, cancellationToken);

    /// <summary>The later looks at a run, the newest first.</summary>
    public Task<IReadOnlyList<VerificationView>> VerificationsAsync(Guid runId, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<VerificationView>("ListVerifications", new { RunId = runId }, cancellationToken);

    /// <summary>Why rows of a run were put aside, in the order of its slices.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="limit">At most so many.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<IReadOnlyList<BadRowView>> BadRowsAsync(Guid runId, int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<BadRowView>("ListBadRows", new { RunId = runId, Limit = limit }, cancellationToken);

    /// <summary>Whether exactly this interval is in the destination.</summary>
    public Task<bool> IsCoveredAsync(Guid batchExportId, DataInterval interval, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(interval);
        return _database.FirstAsync<bool>(
            "IsCovered", new { BatchExportId = batchExportId, interval.Start, interval.End }, cancellationToken);
    }

    /// <summary>The intervals that are in the destination and touch a range, in order.</summary>
    internal async Task<IReadOnlyList<DataInterval>> CoveredAsync(Guid batchExportId, DataInterval range, CancellationToken cancellationToken) =>
        [.. (await _database.ListAsync<IntervalRow>(
            "CoveredIntervals", new { BatchExportId = batchExportId, range.Start, range.End }, cancellationToken).ConfigureAwait(false)).Select(row => row.ToInterval())];

    /// <summary>What is at the destination, the newest first.</summary>
    /// <param name="batchExportId">The batch export.</param>
    /// <param name="before">Only intervals that begin before this; null for the newest.</param>
    /// <param name="limit">At most so many.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    internal Task<IReadOnlyList<CoverageView>> CoverageAsync(Guid batchExportId, DateTimeOffset? before, int limit, CancellationToken cancellationToken) =>
        _database.ViewsAsync<CoverageView>("ListCoverage", new { BatchExportId = batchExportId, Before = before?.UtcDateTime, Limit = limit }, cancellationToken);

    /// <summary>Rows a second of the latest completed runs; null when there were none.</summary>
    internal Task<double?> PaceAsync(Guid batchExportId, CancellationToken cancellationToken) =>
        _database.FirstAsync<double?>("Pace", new { BatchExportId = batchExportId }, cancellationToken);

    /// <summary>The names of the workers that live and take batch export runs.</summary>
    internal Task<IReadOnlyList<string>> LiveWorkersAsync(CancellationToken cancellationToken) =>
        _database.ListAsync<string>("LiveWorkers", new { ExportInput.Queue }, cancellationToken);

    /// <summary>The time of everything that is stored.</summary>
    internal async Task<DateTimeOffset> ClockAsync(CancellationToken cancellationToken) =>
        new(await _database.FirstAsync<DateTime>("Clock", new { }, cancellationToken).ConfigureAwait(false));

    /// <summary>Inserts a run. Locks the export first.</summary>
    /// <exception cref="UserErrorException">A run in progress or a covered interval is in the way.</exception>
    internal async Task InsertAsync(NpgsqlTransaction transaction, NewRun run, CancellationToken cancellationToken)
    {
        await BatchExportStore.LockAsync(_exports, transaction, run.BatchExportId, null, cancellationToken).ConfigureAwait(false);
        if (await FindObstacleAsync(transaction, run.RunId, run.BatchExportId, run.Interval, cancellationToken).ConfigureAwait(false) is { } obstacle)
        {
            throw obstacle.Error;
        }

        await _database.ExecuteAsync(
            transaction,
            "InsertRun",
            new { run.RunId, run.BatchExportId, run.Interval.Start, run.Interval.End, Trigger = ExportJson.Word(run.Trigger), run.BackfillId },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>What is in the way of exporting an interval; null when nothing is. The export is locked.</summary>
    internal async Task<Obstacle?> FindObstacleAsync(
        NpgsqlTransaction transaction, Guid runId, Guid batchExportId, DataInterval interval, CancellationToken cancellationToken)
    {
        var parameters = new { RunId = runId, BatchExportId = batchExportId, interval.Start, interval.End };
        if (await _database.FirstAsync<IntervalRow>(transaction, "OverlappingRun", parameters, cancellationToken).ConfigureAwait(false) is { } other)
        {
            return new Obstacle(Passes: true, new UserErrorException(
                "interval",
                $"Run {other.RunId} is exporting {other.ToInterval()}, so {interval} cannot be exported now.",
                "Wait until it has ended, or cancel it.", reason: UserErrorReason.Conflict));
        }

        return await _database.FirstAsync<IntervalRow>(transaction, "OverlappingVerification", parameters, cancellationToken).ConfigureAwait(false) is { } look
            ? new Obstacle(Passes: true, new UserErrorException(
                "interval",
                $"Verification {look.RunId} is looking at {look.ToInterval()}, so {interval} cannot be exported now.",
                "Wait until it has ended, or cancel it with `exporter run cancel`.", reason: UserErrorReason.Conflict))
            : await FindCoverageAsync(transaction, runId, batchExportId, interval, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Obstacle?> FindCoverageAsync(
        NpgsqlTransaction transaction, Guid runId, Guid batchExportId, DataInterval interval, CancellationToken cancellationToken)
    {
        var parameters = new { RunId = runId, BatchExportId = batchExportId, interval.Start, interval.End };
        return await _database.FirstAsync<IntervalRow>(transaction, "OverlappingCoverage", parameters, cancellationToken).ConfigureAwait(false) is { } covered
            ? new Obstacle(Passes: false, new UserErrorException(
                "interval",
                $"{covered.ToInterval()} was exported by run {covered.RunId} and overlaps {interval} in part, so rows would be there twice.",
                "Export exactly that interval again, or one that does not touch it.", reason: UserErrorReason.Conflict))
            : null;
    }

    private sealed class IntervalRow
    {
        public Guid RunId { get; init; }

        public DateTime Start { get; init; }

        public DateTime End { get; init; }

        public DataInterval ToInterval() => new(Start, End);
    }
}

/// <summary>What a run is to do, as it stands in <c>exports.run.plan</c>.</summary>
internal sealed record RecordedOrder(BatchExport Export, IReadOnlyList<Sources.DescribedColumn> Columns);

/// <summary>A run that is finished.</summary>
internal sealed record FinishedRun(RecordedOrder Plan, int PlannedSlices, DateTimeOffset Start, DateTimeOffset End);

/// <summary>Which runs are listed; null is all.</summary>
public sealed record RunFilter
{
    /// <summary>Only of this project.</summary>
    public string? Project { get; init; }

    /// <summary>Only of this export.</summary>
    public string? BatchExport { get; init; }

    /// <summary>Only in this state, a word of <see cref="Engine.Client.RunState"/>.</summary>
    public string? State { get; init; }

    /// <summary>Only of this backfill.</summary>
    public Guid? BackfillId { get; init; }

    /// <summary>Only older ones than this: for the next page.</summary>
    public ListPlace? After { get; init; }

    /// <summary>At most so many. Default 50.</summary>
    public int Limit { get; init; } = 50;
}

/// <summary>Why an interval cannot be exported now. <paramref name="Passes"/>: it will be gone by itself.</summary>
internal sealed record Obstacle(bool Passes, UserErrorException Error);

/// <summary>A run that is not there yet.</summary>
internal sealed record NewRun(Guid RunId, Guid BatchExportId, DataInterval Interval, RunTrigger Trigger, Guid? BackfillId = null);

/// <summary>What started a run.</summary>
internal enum RunTrigger
{
    /// <summary>An occurrence of its schedule.</summary>
    Schedule,

    /// <summary>Somebody.</summary>
    Manual,

    /// <summary>A backfill.</summary>
    Backfill,
}

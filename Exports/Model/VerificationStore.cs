using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>
/// Later looks at finished runs: the source is counted again, and what changed is exported again. Each is an engine's run of the same
/// id; of an interval that another run has exported meanwhile, or is exporting, nothing is touched.
/// </summary>
public sealed class VerificationStore(NpgsqlDataSource data, EngineClient engine, RunStore runs)
{
    /// <summary>The name of the workflow.</summary>
    public const string Workflow = "verify-batch-export";

    // After the runs that move new rows, before backfills.
    private const short Priority = 5;

    private readonly ExportDatabase _database = new(data, "sql/verifications.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");

    /// <summary>Starts a look at a completed run.</summary>
    /// <param name="runId">The batch export run.</param>
    /// <param name="kind">What is to be done.</param>
    /// <param name="actor">Who asks for it.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Its id.</returns>
    /// <exception cref="UserErrorException">There is no such run, or it is not completed.</exception>
    public async Task<Guid> StartAsync(Guid runId, VerificationKind kind, string actor, CancellationToken cancellationToken = default)
    {
        var run = await runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
        if (kind == VerificationKind.Resend && run.QuarantinedRows == 0)
        {
            throw new UserErrorException("run", $"Run {runId} has no rows that were put aside.", $"See `exporter run show {runId}`.");
        }

        return await _database.InTransactionAsync(
            async transaction =>
            {
                await runs.LoadFinishedAsync(transaction, runId, cancellationToken).ConfigureAwait(false);
                var id = await StartAsync(transaction, runId, kind, actor, run.BatchExport, null, cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, kind == VerificationKind.Resend ? AuditAction.Resend : AuditAction.Verify, AuditKind.Run, runId, run.BatchExport, run.Project),
                    cancellationToken).ConfigureAwait(false);
                return id;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The runs that brought what is at the destination, of the intervals inside a range.</summary>
    public Task<IReadOnlyList<Guid>> CoveredRunsAsync(
        Guid batchExportId, DateTimeOffset? start, DateTimeOffset? end, CancellationToken cancellationToken = default) =>
        _database.ListAsync<Guid>("CoveredRuns", new { BatchExportId = batchExportId, Start = start, End = end }, cancellationToken);

    /// <summary>Starts a look at each run that brought what is at the destination, of the intervals inside a range.</summary>
    /// <returns>Their ids, at least one.</returns>
    /// <exception cref="UserErrorException">Nothing is there.</exception>
    internal async Task<IReadOnlyList<Guid>> StartAllAsync(
        BatchExportView export, DateTimeOffset? start, DateTimeOffset? end, VerificationKind kind, string actor, CancellationToken cancellationToken)
    {
        var ids = new List<Guid>();
        foreach (var run in await CoveredRunsAsync(export.BatchExportId, start, end, cancellationToken).ConfigureAwait(false))
        {
            ids.Add(await StartAsync(run, kind, actor, cancellationToken).ConfigureAwait(false));
        }

        return ids.Count > 0 ? ids : throw new UserErrorException("name", $"Nothing of {export.Name} is at its destination in that time.", "See `exporter run list`.");
    }

    /// <summary>A row of <c>exports.verifications</c>.</summary>
    /// <exception cref="UserErrorException">There is no such verification.</exception>
    public async Task<VerificationView> GetAsync(Guid verificationId, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<VerificationView>("FindVerification", new { VerificationId = verificationId }, cancellationToken).ConfigureAwait(false)
            ?? throw new UserErrorException("run", $"There is no verification {verificationId}.", "See `exporter run show`.", reason: UserErrorReason.NotFound);

    /// <summary>Starts the look that an export's settings ask for, in the transaction that completes the run.</summary>
    internal async Task StartLaterAsync(NpgsqlTransaction transaction, Guid runId, BatchExport export, CancellationToken cancellationToken)
    {
        if (export.Settings.VerifyAfter > TimeSpan.Zero)
        {
            var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
            await StartAsync(
                transaction, runId, VerificationKind.Verify, "verify_after", export.Name, now + export.Settings.VerifyAfter, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The first step of a look: what it is to look at; null when the interval is another run's now.</summary>
    internal async Task<VerificationOrder?> BeginAsync(
        NpgsqlTransaction transaction, Guid verificationId, VerificationInput input, CancellationToken cancellationToken)
    {
        var run = await runs.LoadFinishedAsync(transaction, input.RunId, cancellationToken).ConfigureAwait(false);
        var export = run.Plan.Export;
        var interval = new DataInterval(run.Start, run.End);
        await BatchExportStore.LockAsync(_exports, transaction, export.Id, export.Name, cancellationToken).ConfigureAwait(false);
        if (await runs.FindObstacleAsync(transaction, verificationId, export.Id, interval, cancellationToken).ConfigureAwait(false) is not null
            || !await _database.FirstAsync<bool>(transaction, "IsLatest", new { input.RunId }, cancellationToken).ConfigureAwait(false))
        {
            return null;
        }

        await _database.ExecuteAsync(transaction, "BeginVerification", new { VerificationId = verificationId }, cancellationToken).ConfigureAwait(false);
        if (input.Kind == VerificationKind.Resend)
        {
            // Of what the export says today, whatever makes other files of the same rows counts: that is how bad values are mended.
            var today = (await _exports.ViewAsync<BatchExportView>(transaction, "LoadBatchExport", new { export.Id }, cancellationToken).ConfigureAwait(false))!;
            export = export with { Model = export.Model with { Columns = today.Model.Columns }, Settings = today.Settings };
        }

        return new VerificationOrder(RunOrder.Of(export, interval), run.Plan.Columns, run.PlannedSlices);
    }

    /// <summary>The slices of a run that are in the destination; read within the step's lock on the verification.</summary>
    internal async Task<IReadOnlyList<T>> LeavesAsync<T>(Guid runId, CancellationToken cancellationToken) =>
        await _database.ViewsAsync<T>("Leaves", new { RunId = runId }, cancellationToken).ConfigureAwait(false);

    /// <summary>Records what a look came to, with the run's new totals.</summary>
    internal async Task FinishAsync(NpgsqlTransaction transaction, Guid verificationId, Guid runId, VerificationOutput output, CancellationToken cancellationToken)
    {
        if (output.Outcome is VerificationOutcome.Unchanged or VerificationOutcome.ExportedAgain)
        {
            var exported = output.Outcome == VerificationOutcome.ExportedAgain;
            if (await _database.ExecuteAsync(
                transaction, "UpdateTotals", new { RunId = runId, LateRows = exported ? output.LateRows : 0 }, cancellationToken).ConfigureAwait(false) != 1)
            {
                throw new InvalidOperationException($"Run {runId} has slices that are not committed.");
            }

            await _database.ExecuteAsync(
                transaction, "UpdateCoverage", new { RunId = runId, Exported = exported, Verified = output.Compared > 0 }, cancellationToken).ConfigureAwait(false);
        }

        await _database.ExecuteAsync(
            transaction,
            "FinishVerification",
            new
            {
                VerificationId = verificationId,
                Outcome = ExportJson.Word(output.Outcome),
                output.Compared,
                output.Changed,
                output.LateRows,
                output.GoneRows,
            },
            cancellationToken).ConfigureAwait(false);
    }

    private async Task<Guid> StartAsync(
        NpgsqlTransaction transaction, Guid runId, VerificationKind kind, string actor, string export, DateTimeOffset? at, CancellationToken cancellationToken)
    {
        var id = Guid.CreateVersion7();
        await _database.ExecuteAsync(
            transaction,
            "InsertVerification",
            new { VerificationId = id, RunId = runId, Kind = ExportJson.Word(kind), CreatedBy = actor },
            cancellationToken).ConfigureAwait(false);
        await engine.StartAsync(
            Workflow,
            new VerificationInput { RunId = runId, Kind = kind },
            new StartOptions
            {
                RunId = id, Queue = ExportInput.Queue, Priority = Priority, StartAt = at, Tags = new Dictionary<string, string> { ["batch_export"] = export },
            },
            transaction,
            cancellationToken).ConfigureAwait(false);
        return id;
    }
}

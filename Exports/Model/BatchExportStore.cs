using System.Text.Json;
using Exporter.Engine.Client;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Batch exports, each with its schedule in the engine. Names are those of one project; ids are of all.</summary>
/// <param name="data">The database.</param>
/// <param name="engine">Cancels what is in progress of a deleted export.</param>
/// <param name="schedules">The engine's schedules.</param>
/// <param name="project">The project. Default <see cref="ProjectStore.Default"/>.</param>
public sealed class BatchExportStore(NpgsqlDataSource data, EngineClient engine, ScheduleClient schedules, string project = ProjectStore.Default)
{
    private readonly ExportDatabase _database = new(data, "sql/batch_exports.sql");

    /// <summary>The same in another project.</summary>
    public BatchExportStore In(string project) => new(data, engine, schedules, project);

    /// <summary>Adds a batch export; its schedule fires from now on, unless it is paused.</summary>
    /// <param name="export">The export; <see cref="BatchExport.DestinationId"/> is taken from the destination.</param>
    /// <param name="destination">The destination's name.</param>
    /// <param name="actor">Who adds it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">A value is out of range, the name is taken, or there is no such destination.</exception>
    public Task<BatchExportView> CreateAsync(BatchExport export, string destination, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(export);
        export.Validate();
        return _database.InTransactionAsync(
            async transaction =>
            {
                var destinationId = await _database.FirstAsync<Guid?>(
                    transaction, "ShareDestination", new { Project = project, Name = destination }, cancellationToken).ConfigureAwait(false)
                    ?? throw DestinationStore.Unknown(destination);
                try
                {
                    await _database.ExecuteAsync(transaction, "InsertBatchExport", Row(export, destinationId), cancellationToken).ConfigureAwait(false);
                }
                catch (PostgresException error) when (error.ConstraintName == "batch_export_name")
                {
                    throw new UserErrorException(
                        "name", $"There is a batch export named \"{export.Name}\" already.", "Choose another name, or delete that one first.", error, reason: UserErrorReason.Conflict);
                }

                await schedules.PutAsync(ScheduleOf(export), new ExportInput { BatchExportId = export.Id }, transaction, cancellationToken).ConfigureAwait(false);
                if (export.Paused)
                {
                    await schedules.PauseAsync(export.ScheduleId, export.Note, transaction, cancellationToken).ConfigureAwait(false);
                }

                var created = await LoadAsync(transaction, export.Id, cancellationToken).ConfigureAwait(false);
                await WriteAuditAsync(transaction, actor, AuditAction.Create, null, created, cancellationToken).ConfigureAwait(false);
                return created;
            },
            cancellationToken);
    }

    /// <summary>Adds a batch export that is configured as another one. It has exported nothing: its first interval is the one that goes on now.</summary>
    /// <param name="name">The export that is there.</param>
    /// <param name="newName">The new one's name.</param>
    /// <param name="destination">Where its rows go. Default where the other's go, under the new name.</param>
    /// <param name="paused">Whether its schedule begins paused.</param>
    /// <param name="actor">Who adds it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">There is none of this name, the new name is taken, or there is no such destination.</exception>
    public async Task<BatchExportView> DuplicateAsync(
        string name, string newName, string? destination, bool paused, string actor, CancellationToken cancellationToken = default)
    {
        var original = await GetAsync(name, cancellationToken).ConfigureAwait(false);
        return await CreateAsync(
            original.ToBatchExport() with
            {
                Id = Guid.CreateVersion7(),
                Name = newName,
                Schedule = original.Schedule.WithoutPast(),
                Paused = paused,
                Note = paused ? $"duplicated from {name}" : null,
            },
            destination ?? original.Destination,
            actor,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>All batch exports, by name.</summary>
    public Task<IReadOnlyList<BatchExportView>> ListAsync(CancellationToken cancellationToken = default) =>
        ListAsync(null, null, cancellationToken);

    /// <summary>Batch exports by name, from behind one on.</summary>
    /// <param name="after">The name before the first one; null for the first of all.</param>
    /// <param name="limit">At most so many; null for all.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<IReadOnlyList<BatchExportView>> ListAsync(string? after, int? limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<BatchExportView>("ListBatchExports", new { Project = project, After = after, Limit = limit }, cancellationToken);

    /// <summary>A batch export.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<BatchExportView> GetAsync(string name, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<BatchExportView>("FindBatchExport", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
            ?? throw Unknown(name);

    /// <summary>A batch export by its id, also one that was deleted.</summary>
    /// <exception cref="UserErrorException">There is none of this id.</exception>
    public async Task<BatchExportView> GetAsync(Guid id, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<BatchExportView>("LoadBatchExport", new { Id = id }, cancellationToken).ConfigureAwait(false)
            ?? throw Unknown(id.ToString());

    /// <summary>Stops the schedule; runs that were started go on.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public Task<BatchExportView> PauseAsync(string name, string? note, string actor, CancellationToken cancellationToken = default) =>
        PauseAsync(name, note, actor, _ => Task.CompletedTask, cancellationToken);

    /// <summary>The same, with more in its transaction.</summary>
    internal async Task<BatchExportView> PauseAsync(
        string name, string? note, string actor, Func<NpgsqlTransaction, Task> also, CancellationToken cancellationToken)
    {
        var before = await GetAsync(name, cancellationToken).ConfigureAwait(false);
        return await _database.InTransactionAsync(
            async transaction =>
            {
                var after = await SetPausedAsync(transaction, before, paused: true, note, actor, cancellationToken).ConfigureAwait(false);
                await also(transaction).ConfigureAwait(false);
                return after;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lets the schedule go on with the next occurrence; those of the pause are a gap, which a backfill fills: see
    /// <see cref="ExportControl.UnpauseAsync"/>.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public Task<BatchExportView> UnpauseAsync(string name, string actor, CancellationToken cancellationToken = default) =>
        _database.InTransactionAsync(transaction => UnpauseAsync(transaction, name, actor, cancellationToken), cancellationToken);

    /// <summary>Changes an export; see <see cref="BatchExportEdit"/>.</summary>
    /// <param name="name">The export.</param>
    /// <param name="edit">What is to be changed.</param>
    /// <param name="actor">Who changes it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">There is none of this name, a value is out of range, or somebody else was quicker.</exception>
    public async Task<BatchExportView> EditAsync(string name, BatchExportEdit edit, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(edit);
        edit.Schedule?.Validate();
        var id = (await GetAsync(name, cancellationToken).ConfigureAwait(false)).BatchExportId;
        return await _database.InTransactionAsync(
            async transaction =>
            {
                await LockAsync(_database, transaction, id, name, cancellationToken).ConfigureAwait(false);
                var before = await LoadAsync(transaction, id, cancellationToken).ConfigureAwait(false);
                ModelCheck.Unchanged(name, before.UpdatedAt, edit.UnchangedSince);
                var edited = (before.ToBatchExport() with
                {
                    Model = edit.Model ?? before.Model,
                    Format = edit.Format ?? before.Format,
                    Settings = edit.Settings ?? before.Settings,
                }).Validate();
                if (await FirmAsync(transaction, before, edited, cancellationToken).ConfigureAwait(false) is { } firm)
                {
                    throw firm;
                }

                if (edit.Schedule is { } schedule)
                {
                    edited = await RescheduleAsync(transaction, before, edited, schedule, cancellationToken).ConfigureAwait(false);
                }

                await _database.ExecuteAsync(transaction, "UpdateBatchExport", Row(edited, edited.DestinationId), cancellationToken).ConfigureAwait(false);
                var after = await LoadAsync(transaction, id, cancellationToken).ConfigureAwait(false);
                await WriteAuditAsync(transaction, actor, AuditAction.Update, before, after, cancellationToken).ConfigureAwait(false);
                return after;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a batch export and its schedule, and cancels what it has in progress. What it has exported stays.</summary>
    /// <returns>How many runs and backfills were asked to end.</returns>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<int> DeleteAsync(string name, string actor, CancellationToken cancellationToken = default)
    {
        var before = await GetAsync(name, cancellationToken).ConfigureAwait(false);
        var id = before.BatchExportId;
        await _database.InTransactionAsync(
            async transaction =>
            {
                await LockAsync(_database, transaction, id, name, cancellationToken).ConfigureAwait(false);
                await _database.ExecuteAsync(transaction, "DeleteBatchExport", new { Id = id }, cancellationToken).ConfigureAwait(false);
                await schedules.DeleteAsync(BatchExport.ScheduleIdOf(id), transaction, cancellationToken).ConfigureAwait(false);
                await WriteAuditAsync(transaction, actor, AuditAction.Delete, before, null, cancellationToken).ConfigureAwait(false);
                return id;
            },
            cancellationToken).ConfigureAwait(false);

        // After the commit: a run that begins now finds its export deleted, and ends itself.
        var cancelled = 0;
        foreach (var run in await _database.ListAsync<Guid>("UnfinishedRuns", new { Id = id }, cancellationToken).ConfigureAwait(false))
        {
            cancelled += await engine.CancelAsync(run, cancellationToken).ConfigureAwait(false) ? 1 : 0;
        }

        return cancelled;
    }

    /// <summary>Locks an export's row, so that runs, coverage and changes of one export come one after another.</summary>
    /// <exception cref="UserErrorException">It is not there, or was deleted.</exception>
    internal static async Task LockAsync(
        ExportDatabase database, NpgsqlTransaction transaction, Guid id, string? name, CancellationToken cancellationToken)
    {
        if (await database.FirstAsync<bool?>(transaction, "LockBatchExport", new { Id = id }, cancellationToken).ConfigureAwait(false) is not true)
        {
            throw Unknown(name ?? id.ToString());
        }
    }

    internal static UserErrorException Unknown(string name) => new(
        "batch_export", $"There is no batch export named \"{name}\".", "See `exporter export list`, or create it with `exporter export create`.", reason: UserErrorReason.NotFound);

    private static Schedule ScheduleOf(BatchExport export) => new()
    {
        Id = export.ScheduleId,
        Spec = export.Schedule.ToSpec(),
        Workflow = ExportInput.Workflow,
        Queue = ExportInput.Queue,
        // Each occurrence is a data interval of its own: none may be left out because the one before takes long.
        Overlap = OverlapPolicy.AllowAll,
        Tags = new Dictionary<string, string> { ["batch_export"] = export.Name },
    };

    private object Row(BatchExport export, Guid destinationId) => new
    {
        export.Id,
        Project = project,
        export.Name,
        DestinationId = destinationId,
        Model = ExportJson.Write(export.Model),
        Format = ExportJson.Write(export.Format),
        Schedule = ExportJson.Write(export.Schedule),
        Settings = ExportJson.Write(export.Settings),
        export.Paused,
        export.Note,
    };

    private static Task WriteAuditAsync(
        NpgsqlTransaction transaction, string actor, AuditAction action, BatchExportView? before, BatchExportView? after, CancellationToken cancellationToken)
    {
        var any = (after ?? before)!;
        return AuditLog.WriteAsync(
            transaction,
            new(
                actor,
                action,
                AuditKind.BatchExport,
                any.BatchExportId,
                any.Name,
                any.Project,
                before is null ? null : JsonSerializer.SerializeToNode(before, ExportJson.Options),
                after is null ? null : JsonSerializer.SerializeToNode(after, ExportJson.Options)),
            cancellationToken);
    }

    // What cannot become another once there are runs.
    private async Task<UserErrorException?> FirmAsync(
        NpgsqlTransaction transaction, BatchExportView before, BatchExport edited, CancellationToken cancellationToken)
    {
        const string Advice = "Make another export: `exporter export duplicate`, and edit that before it runs.";
        if (edited.Model.CursorColumn != before.Model.CursorColumn && await AnswersAsync("HasRuns").ConfigureAwait(false))
        {
            return new UserErrorException(
                "cursor_column",
                $"{before.Name} has runs, whose intervals are ranges of {before.Model.CursorColumn}, so its cursor column cannot become {edited.Model.CursorColumn}.",
                Advice, reason: UserErrorReason.Conflict);
        }

        return edited.Model.Table != before.Model.Table && await AnswersAsync("HasRuns").ConfigureAwait(false) && await AnswersAsync("LiesByTable").ConfigureAwait(false)
            ? new UserErrorException(
                "table", $"{before.Name} has runs, and the destination's prefix has {{table}}, so what {before.Model.Table} brought would stay beside what another table brings.", Advice)
            : null;

        Task<bool> AnswersAsync(string question) => _database.FirstAsync<bool>(transaction, question, new { Id = before.BatchExportId }, cancellationToken);
    }

    private async Task<BatchExport> RescheduleAsync(
        NpgsqlTransaction transaction, BatchExportView before, BatchExport edited, ExportSchedule schedule, CancellationToken cancellationToken)
    {
        // Paused until the commit: what is read of it now stays true, since nobody decides an occurrence meanwhile.
        await schedules.PauseAsync(edited.ScheduleId, before.Note, transaction, cancellationToken).ConfigureAwait(false);
        var state = await _database.FirstAsync<ScheduleState>(
            transaction, "Undecided", new { edited.ScheduleId }, cancellationToken).ConfigureAwait(false)
            ?? throw new InvalidOperationException($"The export {before.Name} has no schedule in the engine.");
        edited = edited with { Schedule = before.Schedule.ChangedTo(schedule, state.Occurrence, state.Now) };
        await schedules.PutAsync(ScheduleOf(edited), new ExportInput { BatchExportId = edited.Id }, transaction, cancellationToken).ConfigureAwait(false);
        if (!before.Paused)
        {
            await schedules.UnpauseAsync(edited.ScheduleId, null, transaction, cancellationToken).ConfigureAwait(false);
        }

        return edited;
    }

    private async Task<BatchExportView> LoadAsync(NpgsqlTransaction transaction, Guid id, CancellationToken cancellationToken) =>
        (await _database.ViewAsync<BatchExportView>(transaction, "LoadBatchExport", new { Id = id }, cancellationToken).ConfigureAwait(false))!;

    /// <summary>Joins a transaction of the caller's.</summary>
    internal async Task<BatchExportView> UnpauseAsync(NpgsqlTransaction transaction, string name, string actor, CancellationToken cancellationToken) =>
        await SetPausedAsync(
            transaction, await GetAsync(name, cancellationToken).ConfigureAwait(false), paused: false, null, actor, cancellationToken).ConfigureAwait(false);

    private async Task<BatchExportView> SetPausedAsync(
        NpgsqlTransaction transaction, BatchExportView before, bool paused, string? note, string actor, CancellationToken cancellationToken)
    {
        var id = before.BatchExportId;
        await LockAsync(_database, transaction, id, before.Name, cancellationToken).ConfigureAwait(false);
        await _database.ExecuteAsync(
            transaction, "PauseBatchExport", new { Id = id, Paused = paused, Note = note }, cancellationToken).ConfigureAwait(false);
        _ = paused
            ? await schedules.PauseAsync(BatchExport.ScheduleIdOf(id), note, transaction, cancellationToken).ConfigureAwait(false)
            : await schedules.UnpauseAsync(BatchExport.ScheduleIdOf(id), note, transaction, cancellationToken).ConfigureAwait(false);
        var after = await LoadAsync(transaction, id, cancellationToken).ConfigureAwait(false);
        await WriteAuditAsync(
            transaction, actor, paused ? AuditAction.Pause : AuditAction.Unpause, before, after, cancellationToken).ConfigureAwait(false);
        return after;
    }

    private sealed class ScheduleState
    {
        public DateTime? Occurrence { get; init; }

        public DateTime Now { get; init; }
    }
}

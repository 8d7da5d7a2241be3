using Exporter.Engine.Client;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Notifications;

/// <summary>
/// Records, in the transaction that makes something true, who is to be told of it: each message is a run of the engine that tries until it
/// is told, and exists if and only if the thing itself does.
/// </summary>
internal sealed class NotificationOutbox(NpgsqlDataSource data, EngineClient engine)
{
    // Before the backfills whose worker they share, of which most only wait.
    private const short Priority = -10;

    private readonly ExportDatabase _database = new(data, "sql/notifications.sql");

    /// <summary>An export is failing or late; told unless it was already. The caller has locked the export.</summary>
    public async Task BeginAsync(NpgsqlTransaction transaction, TroubleKind kind, Trouble trouble, CancellationToken cancellationToken)
    {
        var began = await _database.ExecuteAsync(
            transaction,
            "BeginTrouble",
            new
            {
                TroubleId = Guid.CreateVersion7(),
                trouble.BatchExportId,
                Kind = ExportJson.Word(kind),
                trouble.Interval!.Start,
                trouble.Interval.End,
                trouble.RunId,
                trouble.Setting,
                Error = trouble.Detail,
            },
            cancellationToken).ConfigureAwait(false);
        if (began == 1)
        {
            await TellAsync(
                transaction, kind == TroubleKind.Failing ? NotificationEvent.Failed : NotificationEvent.Late, trouble, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>An interval is at the destination, which ends the troubles that it or an earlier one was in. The caller has locked the export.</summary>
    public async Task EndAsync(NpgsqlTransaction transaction, Guid batchExportId, DataInterval interval, Guid runId, CancellationToken cancellationToken)
    {
        var ended = await _database.ListAsync<string>(
            transaction, "EndTroubles", new { BatchExportId = batchExportId, interval.Start }, cancellationToken).ConfigureAwait(false);
        foreach (var kind in ended)
        {
            var failing = kind == ExportJson.Word(TroubleKind.Failing);
            await TellAsync(
                transaction,
                failing ? NotificationEvent.Recovered : NotificationEvent.OnTime,
                new(batchExportId, interval, runId, $"{interval} is at the destination{(failing ? ", after the export had failed" : "")}."),
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Tells everybody who wants to know.</summary>
    public async Task TellAsync(NpgsqlTransaction transaction, NotificationEvent what, Trouble about, CancellationToken cancellationToken)
    {
        var targets = await _database.ListAsync<TargetRow>(
            transaction, "TargetsOf", new { about.BatchExportId, Event = ExportJson.Word(what) }, cancellationToken).ConfigureAwait(false);
        foreach (var target in targets)
        {
            var id = Guid.CreateVersion7();
            await _database.ExecuteAsync(
                transaction,
                "InsertNotification",
                new
                {
                    NotificationId = id,
                    target.TargetId,
                    Event = ExportJson.Word(what),
                    about.BatchExportId,
                    about.RunId,
                    about.Interval?.Start,
                    about.Interval?.End,
                    about.Detail,
                },
                cancellationToken).ConfigureAwait(false);
            await engine.StartAsync(
                NotifyWorkflow.Name,
                new NotifyInput { NotificationId = id },
                new StartOptions
                {
                    RunId = id, Queue = BackfillStore.Queue, Priority = Priority, Tags = new Dictionary<string, string> { ["notification_target"] = target.Name },
                },
                transaction,
                cancellationToken).ConfigureAwait(false);
        }
    }

    private sealed class TargetRow
    {
        public Guid TargetId { get; init; }

        public required string Name { get; init; }
    }
}

/// <summary>What lasts until an interval is at the destination.</summary>
internal enum TroubleKind
{
    /// <summary>A run has failed for good.</summary>
    Failing,

    /// <summary>An interval is not at the destination in time.</summary>
    Late,
}

/// <summary>What is told of an export.</summary>
/// <param name="BatchExportId">The export.</param>
/// <param name="Interval">The interval that it is about; null where it is about none.</param>
/// <param name="RunId">The run; null where there is none.</param>
/// <param name="Detail">In one sentence, without secrets.</param>
/// <param name="Setting">The setting to change; null where none is named.</param>
internal sealed record Trouble(Guid BatchExportId, DataInterval? Interval, Guid? RunId, string Detail, string? Setting = null);

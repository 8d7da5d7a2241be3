using System.Text.Json.Nodes;
using Dapper;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Writes <c>exports.audit_log</c>, in the transaction of the change itself.</summary>
internal static class AuditLog
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(AuditLog).Assembly, "sql/audit.sql");

    private static readonly SqlFile Requests = SqlFile.Load(typeof(AuditLog).Assembly, "sql/requests.sql");

    /// <summary>Writes an entry, and marks the request that the change belongs to, when it has an idempotency key.</summary>
    /// <exception cref="RequestTakenOverException">Somebody else works at that request now.</exception>
    public static async Task WriteAsync(NpgsqlTransaction transaction, AuditEntry entry, CancellationToken cancellationToken)
    {
        await ExecuteAsync(
            Sql["WriteAudit"],
            new
            {
                entry.Actor,
                Action = ExportJson.Word(entry.Action),
                Kind = ExportJson.Word(entry.Kind),
                entry.SubjectId,
                entry.Name,
                entry.Project,
                Before = entry.Before?.ToJsonString(ExportJson.Options),
                After = entry.After?.ToJsonString(ExportJson.Options),
            }).ConfigureAwait(false);
        if (RequestMark.Current is { } mark
            && await ExecuteAsync(
                Requests["CommitRequest"], new { mark.RequestId, mark.Epoch, Kind = ExportJson.Word(entry.Kind), entry.SubjectId }).ConfigureAwait(false) != 1)
        {
            throw new RequestTakenOverException();
        }

        Task<int> ExecuteAsync(string sql, object parameters) =>
            transaction.Connection!.ExecuteAsync(new CommandDefinition(sql, parameters, transaction, cancellationToken: cancellationToken));
    }
}

/// <summary>A change. <paramref name="Before"/> and <paramref name="After"/> are rows of views, which hold no secrets.</summary>
internal sealed record AuditEntry(
    string Actor, AuditAction Action, AuditKind Kind, Guid SubjectId, string? Name, string? Project, JsonNode? Before = null, JsonNode? After = null);

/// <summary>What was done.</summary>
internal enum AuditAction
{
    Create,
    Update,
    Delete,
    Pause,
    Unpause,
    Resume,
    Run,
    Cancel,
    Retry,
    Verify,
    Resend,
    Reset,
}

/// <summary>To what.</summary>
internal enum AuditKind
{
    Destination,
    BatchExport,
    Backfill,
    Run,
    Project,
    User,
    ApiKey,
    NotificationTarget,
}

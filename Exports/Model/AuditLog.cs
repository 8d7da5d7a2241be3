using System.Text.Json.Nodes;
using Dapper;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Writes <c>exports.audit_log</c>, in the transaction of the change itself.</summary>
internal static class AuditLog
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(AuditLog).Assembly, "sql/audit.sql");

    public static Task WriteAsync(NpgsqlTransaction transaction, AuditEntry entry, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(new CommandDefinition(
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
            },
            transaction,
            cancellationToken: cancellationToken));
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
    NotificationTarget,
}

using System.Text.Json.Nodes;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Who changed what, when.</summary>
public sealed class AuditStore(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/audit.sql");

    /// <summary>Changes, the newest first.</summary>
    public Task<IReadOnlyList<AuditView>> ListAsync(AuditFilter filter, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filter);
        return _database.ViewsAsync<AuditView>(
            "ListAudit", new { filter.Project, filter.Name, filter.Actor, Since = filter.Since?.UtcDateTime, filter.Before, filter.Limit }, cancellationToken);
    }
}

/// <summary>Which changes are listed; null is all.</summary>
public sealed record AuditFilter
{
    /// <summary>Only of this project.</summary>
    public string? Project { get; init; }

    /// <summary>Only of what has this name.</summary>
    public string? Name { get; init; }

    /// <summary>Only by this one.</summary>
    public string? Actor { get; init; }

    /// <summary>Only from this time on.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Only those with a smaller id: for the next page.</summary>
    public long? Before { get; init; }

    /// <summary>At most so many. Default 50.</summary>
    public int Limit { get; init; } = 50;
}

/// <summary>A row of <c>exports.audit_log</c>.</summary>
public sealed record AuditView(
    long AuditId, DateTimeOffset At, string Actor, string Action, string Kind, string? Name, Guid SubjectId, JsonNode? Before, JsonNode? After,
    string? Project)
{
    /// <summary>The fields that are others after the change; empty when nothing was there before, or nothing is there any more.</summary>
    public IReadOnlyList<FieldChange> Changes() => Before is null || After is null ? [] : FieldChange.Between(Before, After);
}

using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;

namespace Exporter.Exports.Notifications;

/// <summary>What is sent: the same facts as JSON and as text.</summary>
/// <param name="Id">The notification's id, the same at every try; a receiver knows a repeat by it.</param>
/// <param name="Event">What happened; null for a trial.</param>
/// <param name="At">When.</param>
/// <param name="Project">The export's project.</param>
/// <param name="BatchExport">The export; null for a trial.</param>
/// <param name="Interval">The interval; null where there is none.</param>
/// <param name="RunId">The run; null where there is none.</param>
/// <param name="Detail">What happened, in one sentence.</param>
internal sealed record NotificationMessage(
    Guid Id, NotificationEvent? Event, DateTimeOffset At, string Project, string? BatchExport, DataInterval? Interval, Guid? RunId, string Detail)
{
    /// <summary>A message that says nothing but that messages arrive.</summary>
    public static NotificationMessage Trial(string project, DateTimeOffset now) =>
        new(Guid.CreateVersion7(), null, now, project, null, null, null, "This is a trial: messages arrive here.");

    /// <summary>In one line.</summary>
    public string Subject => Event switch
    {
        NotificationEvent.Failed => $"{Name} is failing",
        NotificationEvent.Recovered => $"{Name} has recovered",
        NotificationEvent.Paused => $"{Name} has paused itself",
        NotificationEvent.Late => $"{Name} is late",
        NotificationEvent.OnTime => $"{Name} is on time again",
        _ => "Exporter can reach you",
    };

    private string Name => Project == ProjectStore.Default ? BatchExport ?? "" : $"{BatchExport} of project {Project}";

    /// <summary>As Standard Webhooks has messages: type, time and data.</summary>
    public JsonObject ToJson() => new()
    {
        ["type"] = "batch_export." + (Event is { } what ? ExportJson.Word(what) : "trial"),
        ["timestamp"] = Text(At),
        ["data"] = new JsonObject
        {
            ["project"] = Project,
            ["batch_export"] = BatchExport,
            ["interval_start"] = Interval is null ? null : Text(Interval.Start),
            ["interval_end"] = Interval is null ? null : Text(Interval.End),
            ["run_id"] = RunId?.ToString(),
            ["text"] = $"{Subject}: {Detail}",
            ["detail"] = Detail,
        },
    };

    /// <summary>As mail.</summary>
    public string ToText()
    {
        var lines = new List<string> { Detail, "", $"when:     {Text(At)}" };
        if (BatchExport is not null)
        {
            lines.Add($"export:   {BatchExport}{(Project == ProjectStore.Default ? "" : $", project {Project}")}");
        }

        if (Interval is not null)
        {
            lines.Add($"interval: {Text(Interval.Start)} to {Text(Interval.End)}");
        }

        if (RunId is { } run)
        {
            lines.AddRange(["", "What happened, and what to do:", $"  exporter run show {run}"]);
        }

        return string.Join("\r\n", lines) + "\r\n";
    }

    private static string Text(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}

namespace Exporter.Engine.Payloads;

/// <summary>The names of the places that payloads are bound to.</summary>
internal static class Places
{
    public static string Input(Guid runId) => $"run {runId} input";

    public static string Output(Guid runId) => $"run {runId} output";

    public static string Step(Guid runId, int place) => $"run {runId} step {place}";

    public static string Checkpoint(Guid runId, int place) => $"run {runId} checkpoint {place}";

    public static string Signal(Guid runId, string name) => $"run {runId} signal {name}";

    public static string Schedule(string scheduleId) => $"schedule {scheduleId} input";
}

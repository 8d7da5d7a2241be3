namespace Exporter.Engine.Payloads;

/// <summary>What kind of payload stands at a place.</summary>
internal enum PlaceKind
{
    Input,
    Output,
    Step,
    Checkpoint,
    Signal,
    Schedule,
}

/// <summary>A place that a payload is bound to. Its text is only made where it is needed: for payloads that are encrypted, and for errors.</summary>
internal readonly record struct PayloadPlace(PlaceKind Kind, Guid RunId, int Number = 0, string? Name = null)
{
    public override string ToString() => Kind switch
    {
        PlaceKind.Input => $"run {RunId} input",
        PlaceKind.Output => $"run {RunId} output",
        PlaceKind.Step => $"run {RunId} step {Number}",
        PlaceKind.Checkpoint => $"run {RunId} checkpoint {Number}",
        PlaceKind.Signal => $"run {RunId} signal {Name}",
        PlaceKind.Schedule => $"schedule {Name} input",
        _ => throw new InvalidOperationException($"{Kind} is no kind of place."),
    };
}

/// <summary>The places that payloads are bound to.</summary>
internal static class Places
{
    public static PayloadPlace Input(Guid runId) => new(PlaceKind.Input, runId);

    public static PayloadPlace Output(Guid runId) => new(PlaceKind.Output, runId);

    public static PayloadPlace Step(Guid runId, int place) => new(PlaceKind.Step, runId, place);

    public static PayloadPlace Checkpoint(Guid runId, int place) => new(PlaceKind.Checkpoint, runId, place);

    public static PayloadPlace Signal(Guid runId, string name) => new(PlaceKind.Signal, runId, Name: name);

    public static PayloadPlace Schedule(string scheduleId) => new(PlaceKind.Schedule, Guid.Empty, Name: scheduleId);
}

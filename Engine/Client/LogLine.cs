namespace Exporter.Engine.Client;

/// <summary>A line of a run's log.</summary>
/// <param name="LogId">Grows; pass the last one to go on from there.</param>
/// <param name="At">When, by the database's clock.</param>
/// <param name="Level">trace, debug, information, warning, error or critical.</param>
/// <param name="Step">The step that wrote it, if one did.</param>
/// <param name="Message">The text.</param>
public sealed record LogLine(long LogId, DateTimeOffset At, string Level, string? Step, string Message);

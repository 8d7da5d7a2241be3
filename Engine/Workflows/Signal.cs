namespace Exporter.Engine.Workflows;

/// <summary>A signal that a run has taken.</summary>
/// <param name="Value">What it carries.</param>
/// <param name="SentAt">When it was sent, by the database's clock.</param>
public sealed record Signal<T>(T Value, DateTimeOffset SentAt);

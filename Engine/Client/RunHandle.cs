namespace Exporter.Engine.Client;

/// <summary>A started run.</summary>
/// <param name="RunId">The run's id.</param>
/// <param name="IsNew">False when the idempotency key already had a run, which this then is.</param>
public sealed record RunHandle(Guid RunId, bool IsNew);

namespace Exporter.Engine.Workers;

/// <summary>How a worker of this process is doing, as it knows itself.</summary>
internal sealed record WorkerState(string Queue, WorkerPhase Phase, int Slots, int Executing, TimeSpan? LastClaimAge);

/// <summary>Where a worker is in its life.</summary>
internal enum WorkerPhase
{
    /// <summary>Not registered: the database or its schema is not there.</summary>
    Starting,

    /// <summary>Holds its lease and claims.</summary>
    Active,

    /// <summary>Told to stop: what executes may end, nothing is claimed.</summary>
    Draining,

    /// <summary>Its lease has ended without being given back; it starts again under a new id.</summary>
    Lost,

    /// <summary>Has stopped.</summary>
    Stopped,
}

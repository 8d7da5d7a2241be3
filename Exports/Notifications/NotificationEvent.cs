namespace Exporter.Exports.Notifications;

/// <summary>What somebody may want to be told.</summary>
internal enum NotificationEvent
{
    /// <summary>An export has begun to fail, so that somebody has to change something. Told once, until it recovers.</summary>
    Failed,

    /// <summary>An export that failed has completed that interval, or a later one.</summary>
    Recovered,

    /// <summary>An export has paused itself.</summary>
    Paused,

    /// <summary>An interval was not at the destination in the time that <c>late_after</c> allows. Told once, until it is on time.</summary>
    Late,

    /// <summary>An export that was late has completed that interval, or a later one.</summary>
    OnTime,
}

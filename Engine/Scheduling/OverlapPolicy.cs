namespace Exporter.Engine.Scheduling;

/// <summary>
/// What becomes of an occurrence while a run of the same schedule is going or another occurrence waits in its buffer. A run is
/// going until it is final: also while it is queued, waits or is paused. One that ended and is retried afterwards counts no more.
/// What waits, waits without limit of time; the catch-up window is for what nobody has decided.
/// </summary>
public enum OverlapPolicy
{
    /// <summary>It is skipped.</summary>
    Skip,

    /// <summary>It waits until all of them have ended; skipped when another one waits already.</summary>
    BufferOne,

    /// <summary>It waits; those that wait start one after the other. At most 1,000 wait, of a backfill all; more are skipped.</summary>
    BufferAll,

    /// <summary>Those that are going are cancelled, those that wait are skipped, and it starts when the last of them has ended.</summary>
    CancelOther,

    /// <summary>As <see cref="CancelOther"/>, but those that are going are terminated.</summary>
    TerminateOther,

    /// <summary>It starts, whatever else is going.</summary>
    AllowAll,
}

internal static class OverlapPolicyText
{
    public static string Of(OverlapPolicy policy) => policy switch
    {
        OverlapPolicy.Skip => "skip",
        OverlapPolicy.BufferOne => "buffer_one",
        OverlapPolicy.BufferAll => "buffer_all",
        OverlapPolicy.CancelOther => "cancel_other",
        OverlapPolicy.TerminateOther => "terminate_other",
        OverlapPolicy.AllowAll => "allow_all",
        _ => throw new ArgumentOutOfRangeException(nameof(policy), policy, "Overlap must be a policy that has a name."),
    };

    public static OverlapPolicy Parse(string text) => text switch
    {
        "skip" => OverlapPolicy.Skip,
        "buffer_one" => OverlapPolicy.BufferOne,
        "buffer_all" => OverlapPolicy.BufferAll,
        "cancel_other" => OverlapPolicy.CancelOther,
        "terminate_other" => OverlapPolicy.TerminateOther,
        "allow_all" => OverlapPolicy.AllowAll,
        _ => throw new FormatException($"\"{text}\" is no overlap policy."),
    };
}

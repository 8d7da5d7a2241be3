namespace Exporter.Engine.Client;

/// <summary>The states of a run; the same words in SQL, on the command line and on the page.</summary>
public enum RunState
{
    /// <summary>Waits for a worker.</summary>
    Queued,

    /// <summary>A worker holds it.</summary>
    Running,

    /// <summary>Waits for a time (a timer, a retry) or a signal; holds no slot.</summary>
    Waiting,

    /// <summary>Somebody paused it.</summary>
    Paused,

    /// <summary>Final: it has an output.</summary>
    Completed,

    /// <summary>Final: it has an error.</summary>
    Failed,

    /// <summary>Final: cancel was asked for, and its code has ended.</summary>
    Cancelled,

    /// <summary>Final: ended from outside, without its code.</summary>
    Terminated,

    /// <summary>Final: its execution timeout passed.</summary>
    TimedOut,
}

/// <summary>The words for <see cref="RunState"/>.</summary>
public static class RunStateText
{
    private static readonly string[] Words =
        ["queued", "running", "waiting", "paused", "completed", "failed", "cancelled", "terminated", "timed_out"];

    /// <summary>The state's word, as in SQL.</summary>
    public static string ToText(this RunState state) => Words[(int)state];

    /// <summary>The state of a word.</summary>
    /// <exception cref="FormatException">No state has this word.</exception>
    public static RunState Parse(string word) => Array.IndexOf(Words, word) is var index and >= 0
        ? (RunState)index
        : throw new FormatException($"\"{word}\" is no state of a run; the states are {string.Join(", ", Words)}.");

    /// <summary>Whether the state is final.</summary>
    public static bool IsFinal(this RunState state) => state >= RunState.Completed;
}

namespace Exporter.Exports.Destinations;

/// <summary>Who has to act on an error.</summary>
public enum ErrorKind
{
    /// <summary>Nobody: it is tried again, spaced out, for ever.</summary>
    Transient,

    /// <summary>Nobody: the other side asked for a pause.</summary>
    Throttled,

    /// <summary>The user: a setting or a permission is wrong; the run stops.</summary>
    User,

    /// <summary>The developers.</summary>
    Bug,
}

/// <summary>An error, sorted.</summary>
/// <param name="Kind">Who has to act.</param>
/// <param name="Message">What happened, in one sentence, without secrets.</param>
/// <param name="Setting">For <see cref="ErrorKind.User"/>: the setting to change.</param>
/// <param name="Advice">For <see cref="ErrorKind.User"/>: what to do.</param>
/// <param name="RetryAfter">For <see cref="ErrorKind.Throttled"/>: how long the other side wants us to wait.</param>
public sealed record ExportError(
    ErrorKind Kind, string Message, string? Setting = null, string? Advice = null, TimeSpan? RetryAfter = null)
{
    /// <summary>Whether the other side wants no more, now or ever: the export's schedule is paused. Default false.</summary>
    public bool PausesExport { get; init; }
}

/// <summary>An error that the user can mend: the message names the setting and says what to do.</summary>
/// <param name="setting">The setting to change, as in configuration files.</param>
/// <param name="message">What is wrong.</param>
/// <param name="advice">What to do, in one sentence.</param>
/// <param name="inner">The cause.</param>
/// <param name="reason">Why it cannot be.</param>
public sealed class UserErrorException(
    string setting, string message, string advice, Exception? inner = null, UserErrorReason reason = UserErrorReason.Refused)
    : Exception($"{message} Setting: {setting}. {advice}", inner)
{
    /// <summary>The setting to change.</summary>
    public string Setting { get; } = setting;

    /// <summary>What is wrong, without setting and advice.</summary>
    public string Problem { get; } = message;

    /// <summary>What to do.</summary>
    public string Advice { get; } = advice;

    /// <summary>Why it cannot be. Default <see cref="UserErrorReason.Refused"/>.</summary>
    public UserErrorReason Reason { get; } = reason;
}

/// <summary>Why something that was asked for cannot be.</summary>
public enum UserErrorReason
{
    /// <summary>It was not asked for rightly.</summary>
    Refused,

    /// <summary>There is nothing of this name or id.</summary>
    NotFound,

    /// <summary>What is there stands in the way.</summary>
    Conflict,

    /// <summary>Somebody has changed it since it was read.</summary>
    Changed,
}

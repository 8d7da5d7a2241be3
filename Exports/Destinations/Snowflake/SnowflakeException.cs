using System.Text.RegularExpressions;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>Snowflake refused a request, or a statement failed.</summary>
internal sealed partial class SnowflakeException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The HTTP status; 0 when there was no answer.</summary>
    public int Status { get; init; }

    /// <summary>Snowflake's number of the error, such as 002003; empty when it gave none.</summary>
    public string Code { get; init; } = "";

    /// <summary>The SQLSTATE; empty when it gave none.</summary>
    public string SqlState { get; init; } = "";

    /// <summary>The statement; null when it got none.</summary>
    public string? Handle { get; init; }

    /// <summary>How long Snowflake wants us to wait; null when it did not say.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>
    /// What the statement said, without what is wrapped around it when it was one of several:
    /// https://docs.snowflake.com/en/developer-guide/sql-api/submitting-multiple-statements has the whole text.
    /// </summary>
    public string Cause => Several().Match(Message) is { Success: true } match ? match.Groups["cause"].Value.Trim() : Message;

    [GeneratedRegex(@"Execution of multiple statements failed on statement .*? \(at line \d+, position \d+\)\.\n(?<cause>.*?)(?= in SYSTEM\$MULTISTMT|$)", RegexOptions.Singleline)]
    private static partial Regex Several();
}

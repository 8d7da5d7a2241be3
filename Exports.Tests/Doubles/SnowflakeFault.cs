namespace Exporter.Exports.Tests.Doubles;

/// <summary>A request to submit statements, before anything was done with it.</summary>
internal sealed record SnowflakeCall(string Text, int Number, bool IsRetry);

/// <summary>What becomes of a request instead of being answered.</summary>
internal sealed record SnowflakeFault
{
    /// <summary>The status that is answered; 0 cuts the connection.</summary>
    public int Status { get; init; }

    public string? RetryAfter { get; init; }

    /// <summary>Whether the statements are executed before.</summary>
    public bool Executes { get; init; }

    /// <summary>Not refused: 202, and so many looks until it is executed.</summary>
    public int? Polls { get; init; }

    /// <summary>What looks are answered with meanwhile. Default 202.</summary>
    public int PollStatus { get; init; } = 202;

    /// <summary>The statements are held up until then.</summary>
    public Task Waits { get; init; } = Task.CompletedTask;
}

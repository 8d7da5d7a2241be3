namespace Exporter.Exports.Tests.Doubles;

/// <summary>A request, before anything was done with it.</summary>
/// <param name="Kind">token, dataset, table.get, table.insert, table.patch, table.delete, job.insert, job.get, job.cancel, rows, upload.start, upload.put or upload.status.</param>
/// <param name="Name">The job or the table, where the address or the body says it.</param>
/// <param name="Text">The statements of a query job.</param>
internal sealed record BigQueryCall(string Kind, string Name, string Text);

/// <summary>What becomes of a request instead of being answered.</summary>
internal sealed record BigQueryFault
{
    /// <summary>The status that is answered; 0 cuts the connection.</summary>
    public int Status { get; init; }

    public string Reason { get; init; } = "backendError";

    public string Message { get; init; } = "as the test says";

    public string? RetryAfter { get; init; }

    /// <summary>Whether what is asked for is done before.</summary>
    public bool Executes { get; init; }

    /// <summary>Not refused: the job is under way for so many looks.</summary>
    public int? Polls { get; init; }

    /// <summary>Not refused: the job fails with this.</summary>
    public BigQueryFailure? Fails { get; init; }

    /// <summary>Of a chunk so many bytes do not arrive. With no status it is answered with 308.</summary>
    public long ShortBy { get; init; }

    /// <summary>The request is held up until then.</summary>
    public Task Waits { get; init; } = Task.CompletedTask;
}

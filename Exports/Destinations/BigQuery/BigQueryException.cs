namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>BigQuery refused a request, or a job failed: https://cloud.google.com/bigquery/docs/error-messages.</summary>
internal sealed class BigQueryException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The HTTP status; 0 when there was no answer. Of a job that failed it is 200.</summary>
    public int Status { get; init; }

    /// <summary>The <c>reason</c> of an ErrorProto, such as quotaExceeded; empty when there was none.</summary>
    public string Reason { get; init; } = "";

    /// <summary>The job that failed; null when a request was refused.</summary>
    public string? Job { get; init; }

    /// <summary>How long BigQuery wants us to wait; null when it did not say.</summary>
    public TimeSpan? RetryAfter { get; init; }
}

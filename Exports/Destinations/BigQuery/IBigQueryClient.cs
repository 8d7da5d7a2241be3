using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// What the destination needs of BigQuery: little enough that Google.Cloud.BigQuery.V2 could stand in for <see cref="BigQueryClient"/>. All tables
/// are of the dataset that the client was made for.
/// </summary>
internal interface IBigQueryClient : IDisposable
{
    /// <summary>Where the dataset is, such as EU.</summary>
    /// <exception cref="BigQueryException">There is none, or it may not be seen.</exception>
    Task<string> LocationAsync(CancellationToken cancellationToken);

    /// <summary>A table; null when there is none.</summary>
    Task<BigQueryTable?> FindAsync(string table, CancellationToken cancellationToken);

    /// <summary>Makes a table, unless there is one of its name.</summary>
    Task CreateAsync(BigQueryNewTable table, CancellationToken cancellationToken);

    /// <summary>Adds columns to a table as it was found.</summary>
    /// <returns>False when somebody has changed it since; then nothing was added.</returns>
    Task<bool> AddColumnsAsync(BigQueryTable table, IReadOnlyList<BigQueryField> columns, CancellationToken cancellationToken);

    /// <summary>Removes a table, if it is there.</summary>
    Task DropAsync(string table, CancellationToken cancellationToken);

    /// <summary>
    /// Executes GoogleSQL, one statement or several, as a job of a name that no other has, so that a repeat of the request is the same job. A job that
    /// failed by no fault of its own is tried again under the name's next number: what is executed must be such that this does no harm.
    /// </summary>
    /// <returns>The rows of the last statement.</returns>
    /// <exception cref="BigQueryException">It failed, or nobody knows whether it was executed.</exception>
    Task<BigQueryResult> QueryAsync(string job, string sql, CancellationToken cancellationToken);

    /// <summary>Begins a load job of a Parquet file that is still being written, into a table that is there and empty.</summary>
    /// <param name="job">The job's name.</param>
    /// <param name="table">The table.</param>
    /// <param name="columns">Its columns.</param>
    /// <param name="cancellationToken">Cancels the beginning.</param>
    Task<IBigQueryLoad> LoadAsync(string job, string table, IReadOnlyList<BigQueryField> columns, CancellationToken cancellationToken);
}

/// <summary>A file on its way into a load job.</summary>
internal interface IBigQueryLoad
{
    /// <summary>Bytes that BigQuery has acknowledged.</summary>
    long Sent { get; }

    /// <summary>Sends bytes that are not the last ones; disposes of them.</summary>
    Task SendAsync(ChunkedBytes bytes, CancellationToken cancellationToken);

    /// <summary>Sends the last bytes and waits for the job.</summary>
    /// <returns>Rows that were loaded; null when that is not known.</returns>
    Task<long?> CompleteAsync(ChunkedBytes last, CancellationToken cancellationToken);
}

/// <summary>A column, as tables and load jobs have it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type.</param>
internal sealed record BigQueryField(string Name, BigQueryType Type);

/// <summary>A table to be made.</summary>
internal sealed record BigQueryNewTable(string Name, IReadOnlyList<BigQueryField> Columns)
{
    /// <summary>When it goes by itself; null when it stays.</summary>
    public DateTimeOffset? Expires { get; init; }

    /// <summary>By which column and unit it is partitioned; null when it is not.</summary>
    public (string Column, string Unit)? Partition { get; init; }

    /// <summary>The columns by which it is clustered.</summary>
    public IReadOnlyList<string> Cluster { get; init; } = [];
}

/// <summary>A table that is there.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Etag">Changes with it.</param>
/// <param name="Schema">Its columns as BigQuery said them.</param>
/// <param name="Kind">TABLE, VIEW and others.</param>
internal sealed record BigQueryTable(string Name, string Etag, System.Text.Json.Nodes.JsonArray Schema, string Kind)
{
    /// <summary>Its columns, by name; names differ in more than their capitals.</summary>
    public IReadOnlyDictionary<string, BigQueryColumnThere> Columns { get; } =
        Schema.Select(field => BigQueryColumnThere.Of(field!.AsObject())).ToDictionary(column => column.Name, StringComparer.OrdinalIgnoreCase);
}

/// <summary>What a statement answered; values are text, as the API sends them.</summary>
/// <param name="Columns">Names of the columns.</param>
/// <param name="Rows">The rows.</param>
internal sealed record BigQueryResult(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)
{
    /// <summary>A value by its column's name.</summary>
    public string? Value(int row, string column)
    {
        for (var at = 0; at < Columns.Count; at++)
        {
            if (string.Equals(Columns[at], column, StringComparison.OrdinalIgnoreCase))
            {
                return Rows[row][at];
            }
        }

        throw new ArgumentException($"There is no column {column}.", nameof(column));
    }
}

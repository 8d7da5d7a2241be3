namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>What the destination needs of Snowflake: little enough that the vendor's own driver could stand in for <see cref="SnowflakeClient"/>.</summary>
internal interface ISnowflakeClient : IDisposable
{
    /// <summary>Executes one statement, in a session of its own.</summary>
    /// <exception cref="SnowflakeException">Snowflake refused it, or said nothing for so long that nobody knows whether it was executed.</exception>
    Task<SnowflakeResult> ExecuteAsync(string statement, CancellationToken cancellationToken);

    /// <summary>
    /// Executes statements in their order, in one session, up to the first that fails. A transaction that is open then is rolled back.
    /// </summary>
    /// <param name="statements">The statements, each without a semicolon at its end.</param>
    /// <param name="answer">Which one's result is wanted.</param>
    /// <param name="cancellationToken">Cancels them.</param>
    /// <exception cref="SnowflakeException">As for one.</exception>
    Task<SnowflakeResult> ExecuteAllAsync(IReadOnlyList<string> statements, int answer, CancellationToken cancellationToken);
}

/// <summary>What a statement answered; values are text, as the SQL API sends them.</summary>
/// <param name="Columns">Names of the columns.</param>
/// <param name="Rows">The rows of all partitions.</param>
internal sealed record SnowflakeResult(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)
{
    /// <summary>A value by its column's name, whatever its capitals; null also when there is no such column, as in COPY's short answer.</summary>
    public string? Value(int row, string column)
    {
        for (var at = 0; at < Columns.Count; at++)
        {
            if (string.Equals(Columns[at], column, StringComparison.OrdinalIgnoreCase))
            {
                return Rows[row][at];
            }
        }

        return null;
    }
}

using System.Globalization;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>A statement with its parameters, numbered from 1.</summary>
/// <param name="Sql">The statement.</param>
/// <param name="Values">Texts, numbers, instants, or null for a text that is none.</param>
internal sealed record RedshiftStatement(string Sql, params object?[] Values);

/// <summary>Something to be sent to the server as a parameter of a type.</summary>
internal sealed record RedshiftValue(NpgsqlDbType Type, object Value);

/// <summary>
/// A connection to Redshift. A transaction goes to the server as one request, from BEGIN to COMMIT: whatever becomes of this process, the server does all of it or
/// nothing, and holds no lock for somebody who does not come back.
/// </summary>
internal sealed class RedshiftSession : IAsyncDisposable
{
    private readonly NpgsqlConnection _connection;
    private readonly RedshiftOptions _options;

    private RedshiftSession(NpgsqlConnection connection, RedshiftOptions options) => (_connection, _options, ProcessId) = (connection, options, connection.ProcessID);

    public static async Task<RedshiftSession> OpenAsync(NpgsqlDataSource data, RedshiftOptions options, CancellationToken cancellationToken)
    {
        try
        {
            return new RedshiftSession(await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false), options);
        }
        catch (PostgresException error)
        {
            throw RedshiftException.Of(error, options.Secrets);
        }
    }

    /// <summary>The server's number of this session.</summary>
    public int ProcessId { get; }

    /// <summary>Whether it can be used further: the driver gives a connection up after an XX000, which Redshift says often.</summary>
    public bool IsOpen => _connection.FullState == System.Data.ConnectionState.Open;

    /// <summary>Executes a statement.</summary>
    /// <returns>Its rows.</returns>
    /// <exception cref="RedshiftException">The server refused it.</exception>
    public Task<IReadOnlyList<object?[]>> ExecuteAsync(RedshiftStatement statement, CancellationToken cancellationToken) => ExecuteAllAsync([statement], cancellationToken);

    /// <summary>Executes statements in one transaction, in one request, up to the first that fails.</summary>
    /// <returns>The rows of the last that answers any.</returns>
    /// <exception cref="RedshiftException">The server refused one, and nothing was done.</exception>
    public Task<IReadOnlyList<object?[]>> TransactAsync(IEnumerable<RedshiftStatement> statements, CancellationToken cancellationToken) =>
        ExecuteAllAsync([new("BEGIN"), .. statements, new("COMMIT")], cancellationToken);

    /// <summary>What the load error views say of a COPY of another session: https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html, and
    /// where that may not be read, https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html, which serverless has not.</summary>
    public async Task<RedshiftLoadError?> LoadErrorAsync(int session, CancellationToken cancellationToken)
    {
        foreach (var sql in new[]
        {
            "SELECT TRIM(column_name), TRIM(column_type), error_code, TRIM(error_message) FROM sys_load_error_detail WHERE session_id = $1 ORDER BY start_time DESC LIMIT 1",
            "SELECT TRIM(colname), TRIM(type), err_code, TRIM(err_reason) FROM stl_load_errors WHERE session = $1 ORDER BY starttime DESC LIMIT 1",
        })
        {
            try
            {
                if ((await ExecuteAsync(new RedshiftStatement(sql, session), cancellationToken).ConfigureAwait(false)) is [var row, ..])
                {
                    return new RedshiftLoadError($"{row[0]}", $"{row[1]}", Convert.ToInt32(row[2], CultureInfo.InvariantCulture), $"{row[3]}");
                }
            }
            catch (RedshiftException)
            {
                // The other one, or none: the COPY has said why itself, in fewer words.
            }
        }

        return null;
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();

    private async Task<IReadOnlyList<object?[]>> ExecuteAllAsync(IEnumerable<RedshiftStatement> statements, CancellationToken cancellationToken)
    {
        var batch = new NpgsqlBatch(_connection);
        await using var disposing = batch.ConfigureAwait(false);
        foreach (var statement in statements)
        {
            batch.BatchCommands.Add(Command(statement));
        }

        try
        {
            var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            return await ReadAsync(reader, cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException error)
        {
            throw RedshiftException.Of(error, _options.Secrets);
        }
    }

    private static async Task<IReadOnlyList<object?[]>> ReadAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var rows = new List<object?[]>();
        do
        {
            if (reader.FieldCount > 0)
            {
                rows.Clear();
            }

            while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                var row = new object?[reader.FieldCount];
                for (var at = 0; at < row.Length; at++)
                {
                    row[at] = await reader.IsDBNullAsync(at, cancellationToken).ConfigureAwait(false) ? null : reader.GetValue(at);
                }

                rows.Add(row);
            }
        }
        while (await reader.NextResultAsync(cancellationToken).ConfigureAwait(false));

        return rows;
    }

    private static NpgsqlBatchCommand Command(RedshiftStatement statement)
    {
        var command = new NpgsqlBatchCommand(statement.Sql);
        foreach (var value in statement.Values)
        {
            command.Parameters.Add(value switch
            {
                null => new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Varchar, Value = DBNull.Value },
                string text => new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Varchar, Value = text },
                int number => new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Integer, Value = number },
                long number => new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Bigint, Value = number },
                DateTimeOffset instant => new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.TimestampTz, Value = instant.UtcDateTime },
                RedshiftValue typed => new NpgsqlParameter { NpgsqlDbType = typed.Type, Value = typed.Value },
                _ => throw new ArgumentException($"{value.GetType()} is no type of a parameter.", nameof(statement)),
            });
        }

        return command;
    }
}

using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>The engine's database, and the connections that its parts use.</summary>
internal sealed class EngineDatabase(string connectionString)
{
    private volatile bool _pooled;

    /// <summary>
    /// Whether the last look found a pooler in between, so that one statement and the next may reach different sessions of the
    /// server: it gives out process ids of its own.
    /// </summary>
    public bool IsPooled => _pooled;

    /// <summary>Where notifications are listened to, when that is not the same; behind a pooler, directly at the server.</summary>
    public string? ListenThrough { get; set; }

    /// <summary>One connection that is held for good, outside any pool.</summary>
    public string ListenConnectionString => SessionConnectionString("exporter listen");

    /// <summary>Whether sessions of the server can be had, in which one thing done leads to the next.</summary>
    public bool HasSessions => !IsPooled || ListenThrough is not null;

    /// <summary>Such a session, outside any pool.</summary>
    public string SessionConnectionString(string applicationName) => new NpgsqlConnectionStringBuilder(ListenThrough ?? connectionString)
    {
        Pooling = false, ApplicationName = applicationName, KeepAlive = 0,
    }.ConnectionString;

    /// <summary>A connection of its own, so that what is looked at is the server and no pool of this process.</summary>
    public async Task<NpgsqlConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        try
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Looks whether a pooler is in between.</summary>
    /// <returns>The migrations that the schema lacks.</returns>
    public async Task<IReadOnlyList<string>> LookAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand("select pg_backend_pid()", connection);
        await using var disposing = command.ConfigureAwait(false);
        _pooled = await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is not int process || process != connection.ProcessID;
        return await EngineSchema.MissingAsync(connection, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A pool for clients, which closes again soon what a busy moment has opened, unless the connection string says otherwise.</summary>
    public static NpgsqlDataSource OpenForClients(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        if (!builder.ShouldSerialize("Connection Idle Lifetime"))
        {
            builder.ConnectionIdleLifetime = Math.Max(30, builder.ConnectionPruningInterval);
        }

        return NpgsqlDataSource.Create(builder);
    }

    /// <summary>A pool whose sessions carry the worker's id, so that others can end them once it is lost.</summary>
    /// <param name="workerId">The worker.</param>
    /// <param name="connections">At most so many.</param>
    /// <param name="isCallers">Whether code of the application uses these sessions, which may leave something behind in them. The
    /// engine leaves nothing, and to reset a session costs a statement each time.</param>
    public NpgsqlDataSource OpenFor(Guid workerId, int connections, bool isCallers = false)
    {
        var given = new NpgsqlConnectionStringBuilder(connectionString);
        var builder = new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = $"exporter {workerId}", MaxPoolSize = connections, MinPoolSize = 0,
            // What a busy moment has opened is closed again soon.
            ConnectionIdleLifetime = 30, ConnectionPruningInterval = 10,
            // Behind a pooler, to reset a session is to reset somebody else's.
            NoResetOnClose = IsPooled || !isCallers,
        };
        if (IsPooled)
        {
            return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
        }

        if (!given.ShouldSerialize("Max Auto Prepare"))
        {
            // A prepared statement is a session's. Behind a pooler that knows them, the connection string may say so.
            builder.MaxAutoPrepare = 50;
            builder.AutoPrepareMinUsages = 2;
        }

        return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
    }
}

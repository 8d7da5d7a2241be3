using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>The engine's schema, <c>engine</c>.</summary>
public static class EngineSchema
{
    /// <summary>
    /// Brings the schema to this version. Safe when several processes start at once, and while workers of the version before
    /// execute runs.
    /// </summary>
    /// <returns>The scripts that this call applied.</returns>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refused a script; that script left nothing.</exception>
    /// <exception cref="TimeoutException">A script did not get its locks within 10 minutes; the message names the sessions that may hold them.</exception>
    public static Task<IReadOnlyList<string>> MigrateAsync(string connectionString, CancellationToken cancellationToken = default) =>
        SchemaMigrator.ApplyAsync(connectionString, "engine", typeof(EngineSchema).Assembly, cancellationToken);

    /// <summary>The scripts that the database lacks for this version of the engine; none when it is as new, or newer.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached.</exception>
    public static async Task<IReadOnlyList<string>> MissingAsync(string connectionString, CancellationToken cancellationToken = default)
    {
        var connection = new NpgsqlConnection(connectionString);
        await using var closing = connection.ConfigureAwait(false);
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        return await MissingAsync(connection, cancellationToken).ConfigureAwait(false);
    }

    internal static async Task<IReadOnlyList<string>> MissingAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        try
        {
            return await SchemaMigrator.MissingAsync(connection, "engine", typeof(EngineSchema).Assembly, cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            // A worker's user need not read the journal; then its statements find out.
            return [];
        }
    }
}

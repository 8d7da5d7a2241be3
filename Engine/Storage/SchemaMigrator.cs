using System.Data;
using System.Reflection;
using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>
/// Brings a schema to its newest version from embedded numbered scripts, each in a transaction of its own together with its line
/// in the journal. Safe when several processes start at once, beside workers, and through a pooler: the lock that keeps others
/// out, too, is that transaction's.
/// </summary>
public static class SchemaMigrator
{
    // Whoever waits for a table's lock makes all wait who come after, so nobody waits long: better to come back.
    private static readonly TimeSpan LockTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan DefaultPatience = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Applies what is missing. A script that does not get its locks within a second lets the workers go on and tries again, for
    /// up to 10 minutes.
    /// </summary>
    /// <param name="connectionString">A user who may create the schema.</param>
    /// <param name="schema">The schema; its journal is <c>schema.schema_version</c>.</param>
    /// <param name="assembly">Embeds the scripts, as <c>migrations/0001_name.sql</c>.</param>
    /// <param name="cancellationToken">Ends it; the script that is under way leaves nothing.</param>
    /// <returns>The names of the scripts that this call applied, in order.</returns>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refused a script; that script left nothing.</exception>
    /// <exception cref="TimeoutException">A script did not get its locks; the message names the sessions that may hold them.</exception>
    public static Task<IReadOnlyList<string>> ApplyAsync(
        string connectionString, string schema, Assembly assembly, CancellationToken cancellationToken = default) =>
        ApplyAsync(connectionString, schema, assembly, DefaultPatience, TimeProvider.System, cancellationToken);

    internal static async Task<IReadOnlyList<string>> ApplyAsync(
        string connectionString, string schema, Assembly assembly, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await using var closing = connection.ConfigureAwait(false);
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        var applied = new List<string>();
        var since = time.GetTimestamp();
        while (true)
        {
            try
            {
                if (await ApplyNextAsync(connection, schema, assembly, cancellationToken).ConfigureAwait(false) is not { } script)
                {
                    return applied;
                }

                applied.Add(script);
                since = time.GetTimestamp();
            }
            catch (PostgresException error) when (error.SqlState is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected)
            {
                if (time.GetElapsedTime(since) > patience)
                {
                    throw new TimeoutException(
                        $"The next migration of schema {schema} got no lock within {patience}. Sessions that may hold it: "
                        + await LongTransactionsAsync(connection, cancellationToken).ConfigureAwait(false), error);
                }

                await Task.Delay(Pause, time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The scripts that a database lacks, in order.</summary>
    internal static async Task<IReadOnlyList<string>> MissingAsync(
        NpgsqlConnection connection, string schema, Assembly assembly, CancellationToken cancellationToken)
    {
        var there = new HashSet<string>(StringComparer.Ordinal);
        if (await ScalarAsync(connection, "select to_regclass(quote_ident($1) || '.schema_version') is not null", cancellationToken, schema)
            .ConfigureAwait(false) is true)
        {
            var command = new NpgsqlCommand($"select scriptname from \"{schema}\".schema_version", connection);
            await using var disposing = command.ConfigureAwait(false);
            var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                there.Add(reader.GetString(0));
            }
        }

        return [.. assembly.GetManifestResourceNames()
            .Where(name => name.StartsWith("migrations/", StringComparison.Ordinal) && !there.Contains(name))
            .Order(StringComparer.Ordinal)];
    }

    private static async Task<string?> ApplyNextAsync(
        NpgsqlConnection connection, string schema, Assembly assembly, CancellationToken cancellationToken)
    {
        // Read committed, whatever the database's default: the journal has to be seen as it is once the lock is got.
        var transaction = await connection.BeginTransactionAsync(IsolationLevel.ReadCommitted, cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        await ExecuteAsync(
            connection,
            "set local lock_timeout = 0; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0",
            cancellationToken).ConfigureAwait(false);
        await ScalarAsync(
            connection, "select 1 from pg_advisory_xact_lock(hashtextextended('exporter migrations ' || $1, 0))", cancellationToken, schema).ConfigureAwait(false);
        var missing = await MissingAsync(connection, schema, assembly, cancellationToken).ConfigureAwait(false);
        if (missing.Count == 0)
        {
            return null;
        }

        // Asked only when it is missing: an ordinary user may not create schemas, though this one is there.
        if (await ScalarAsync(connection, "select to_regnamespace(quote_ident($1)) is null", cancellationToken, schema).ConfigureAwait(false) is true)
        {
            await ExecuteAsync(connection, $"create schema \"{schema}\"", cancellationToken).ConfigureAwait(false);
        }

        await ExecuteAsync(
            connection,
            $"""
            set local client_min_messages = warning;
            create table if not exists "{schema}".schema_version (
              schemaversionsid serial primary key, scriptname varchar(255) not null, applied timestamp not null);
            set local client_min_messages = notice;
            set local lock_timeout = {(int)LockTimeout.TotalMilliseconds}
            """,
            cancellationToken).ConfigureAwait(false);
        using var script = new StreamReader(assembly.GetManifestResourceStream(missing[0])!);
        await ExecuteAsync(connection, await script.ReadToEndAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        await ScalarAsync(
            connection, $"insert into \"{schema}\".schema_version (scriptname, applied) values ($1, now())", cancellationToken, missing[0]).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return missing[0];
    }

    private static async Task<string> LongTransactionsAsync(NpgsqlConnection connection, CancellationToken cancellationToken) =>
        await ScalarAsync(
            connection,
            """
            select string_agg(concat('pid ', pid, ' (', application_name, ') for ', date_trunc('second', clock_timestamp() - xact_start)), ', ' order by xact_start)
            from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start < clock_timestamp() - interval '1 second'
            """,
            cancellationToken).ConfigureAwait(false) as string ?? "none now.";

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task<object?> ScalarAsync(
        NpgsqlConnection connection, string sql, CancellationToken cancellationToken, params string[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await using var disposing = command.ConfigureAwait(false);
        Array.ForEach(parameters, parameter => command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = parameter }));
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false);
    }
}

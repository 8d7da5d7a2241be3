using System.Reflection;
using System.Runtime.ExceptionServices;
using DbUp;
using DbUp.Engine.Output;
using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>
/// Brings a schema to its newest version with DbUp, from embedded numbered scripts, each in its own transaction. Safe when
/// several processes start at once: one migrates, the others wait for it and find nothing to do.
/// </summary>
public static class SchemaMigrator
{
    /// <summary>Applies what is missing.</summary>
    /// <param name="connectionString">A user who may create the schema.</param>
    /// <param name="schema">The schema; its journal is <c>schema.schema_version</c>.</param>
    /// <param name="assembly">Embeds the scripts, as <c>migrations/0001_name.sql</c>.</param>
    /// <param name="cancellationToken">Stops the wait for another process; a script that runs is not interrupted.</param>
    /// <returns>The names of the scripts that were applied, in order.</returns>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refused a script; that script left nothing.</exception>
    public static async Task<IReadOnlyList<string>> ApplyAsync(
        string connectionString, string schema, Assembly assembly, CancellationToken cancellationToken = default)
    {
        // The lock is the session's, so it goes with the process, whatever ends it.
        var direct = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false };
        var connection = new NpgsqlConnection(direct.ConnectionString);
        await using var closing = connection.ConfigureAwait(false);
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        using (var command = new NpgsqlCommand(
            "select pg_advisory_lock(hashtextextended('exporter migrations ' || $1, 0))", connection))
        {
            command.CommandTimeout = 0;
            command.Parameters.Add(new() { Value = schema });
            await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        // Asked only when it is missing: an ordinary user may not create schemas, though this one is there.
        using (var command = new NpgsqlCommand("select to_regnamespace($1) is not null", connection))
        {
            command.Parameters.Add(new() { Value = schema });
            if (await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is false)
            {
                using var create = new NpgsqlCommand($"create schema \"{schema}\"", connection);
                await create.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
            }
        }

        var engine = DeployChanges.To
            .PostgresqlDatabase(direct.ConnectionString)
            .WithScriptsEmbeddedInAssembly(assembly, name => name.StartsWith("migrations/", StringComparison.Ordinal))
            .JournalToPostgresqlTable(schema, "schema_version")
            .WithTransactionPerScript()
            .WithVariablesDisabled()
            .LogTo(new NoOpUpgradeLog())
            .Build();

        // DbUp is synchronous; it has a thread of its own while it works.
        var result = await Task.Run(engine.PerformUpgrade, CancellationToken.None).ConfigureAwait(false);
        if (!result.Successful)
        {
            ExceptionDispatchInfo.Capture(result.Error).Throw();
        }

        return [.. result.Scripts.Select(script => script.Name)];
    }
}

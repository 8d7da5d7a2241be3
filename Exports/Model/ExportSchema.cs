using Dapper;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>The exports' schema, <c>exports</c>; it needs the engine's in the same database.</summary>
public static class ExportSchema
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(ExportSchema).Assembly, "sql/schema.sql");

    /// <summary>Brings both schemas to this version. Safe when several processes start at once.</summary>
    /// <returns>The scripts that were applied, as <c>engine/0001_engine.sql</c>.</returns>
    public static async Task<IReadOnlyList<string>> MigrateAsync(string connectionString, CancellationToken cancellationToken = default)
    {
        var engine = await EngineSchema.MigrateAsync(connectionString, cancellationToken).ConfigureAwait(false);
        var exports = await SchemaMigrator.ApplyAsync(
            connectionString, "exports", typeof(ExportSchema).Assembly, cancellationToken).ConfigureAwait(false);
        return [.. engine.Select(name => Of("engine", name)), .. exports.Select(name => Of("exports", name))];
    }

    /// <summary>The scripts that this version has and the database has not.</summary>
    internal static async Task<IReadOnlyList<string>> MissingAsync(NpgsqlDataSource data, CancellationToken cancellationToken)
    {
        var missing = new List<string>();
        foreach (var (schema, assembly) in new[] { ("engine", typeof(EngineSchema).Assembly), ("exports", typeof(ExportSchema).Assembly) })
        {
            var applied = await AppliedAsync(data, schema, cancellationToken).ConfigureAwait(false);
            missing.AddRange(assembly.GetManifestResourceNames()
                .Where(name => name.StartsWith("migrations/", StringComparison.Ordinal) && !applied.Contains(name))
                .Order(StringComparer.Ordinal)
                .Select(name => Of(schema, name)));
        }

        return missing;
    }

    private static async Task<HashSet<string>> AppliedAsync(NpgsqlDataSource data, string schema, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        try
        {
            var names = await connection.QueryAsync<string>(new CommandDefinition(
                schema == "engine" ? Sql["EngineScripts"] : Sql["ExportScripts"], cancellationToken: cancellationToken)).ConfigureAwait(false);
            return names.ToHashSet(StringComparer.Ordinal);
        }
        catch (PostgresException error) when (error.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
        {
            return [];
        }
    }

    private static string Of(string schema, string resource) => $"{schema}/{Path.GetFileName(resource)}";
}

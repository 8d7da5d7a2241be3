namespace Exporter.Engine.Storage;

/// <summary>The engine's schema, <c>engine</c>.</summary>
public static class EngineSchema
{
    /// <summary>Brings the schema to this version. Safe when several processes start at once.</summary>
    /// <returns>The scripts that were applied.</returns>
    public static Task<IReadOnlyList<string>> MigrateAsync(string connectionString, CancellationToken cancellationToken = default) =>
        SchemaMigrator.ApplyAsync(connectionString, "engine", typeof(EngineSchema).Assembly, cancellationToken);
}

using Exporter.Engine.Storage;

namespace Exporter.Exports.Model;

/// <summary>The exports' schema, <c>exports</c>; it needs the engine's in the same database.</summary>
public static class ExportSchema
{
    /// <summary>Brings both schemas to this version. Safe when several processes start at once.</summary>
    /// <returns>The scripts that were applied, as <c>engine/0001_engine.sql</c>.</returns>
    public static async Task<IReadOnlyList<string>> MigrateAsync(string connectionString, CancellationToken cancellationToken = default)
    {
        var engine = await EngineSchema.MigrateAsync(connectionString, cancellationToken).ConfigureAwait(false);
        var exports = await SchemaMigrator.ApplyAsync(
            connectionString, "exports", typeof(ExportSchema).Assembly, cancellationToken).ConfigureAwait(false);
        return [.. engine.Select(name => Of("engine", name)), .. exports.Select(name => Of("exports", name))];
    }

    private static string Of(string schema, string resource) => $"{schema}/{Path.GetFileName(resource)}";
}

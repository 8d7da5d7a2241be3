using Exporter.Engine.Storage;

namespace Exporter.Engine.Tests.Storage;

/// <summary>A database as an earlier version of the engine left it, with runs in it.</summary>
internal static class OldSchema
{
    /// <summary>Makes it: the migrations up to this one, their journal, and after each of them the runs that it brought.</summary>
    public static async Task<TestDatabase> NewAsync(int version)
    {
        var database = new TestDatabase(await TestPostgres.NewDatabaseAsync());
        await database.ExecuteAsync(
            """
            create schema engine;
            create table engine.schema_version (schemaversionsid serial primary key, scriptname varchar(255) not null, applied timestamp not null)
            """);
        foreach (var script in typeof(EngineSchema).Assembly.GetManifestResourceNames().Where(IsUpTo).Order(StringComparer.Ordinal))
        {
            await database.ExecuteAsync(await ReadAsync(typeof(EngineSchema), script));
            await database.ExecuteAsync("insert into engine.schema_version (scriptname, applied) values (@script, now())", new { script });
            await database.ExecuteAsync(await ReadAsync(typeof(OldSchema), $"schemas/at-{script["migrations/".Length..][..4]}.sql"));
        }

        return database;

        bool IsUpTo(string name) =>
            name.StartsWith("migrations/", StringComparison.Ordinal) && string.CompareOrdinal(name, $"migrations/{version + 1:0000}") < 0;
    }

    private static async Task<string> ReadAsync(Type type, string resource)
    {
        using var reader = new StreamReader(type.Assembly.GetManifestResourceStream(resource)!);
        return await reader.ReadToEndAsync();
    }
}

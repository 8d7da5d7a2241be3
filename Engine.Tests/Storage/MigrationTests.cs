using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Tests.Storage;

/// <summary>The schema is made once, whoever comes first.</summary>
public sealed class MigrationTests
{
    [Test]
    public async Task Many_processes_that_start_at_once_migrate_once()
    {
        var connectionString = await TestPostgres.NewDatabaseAsync();
        var applied = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => EngineSchema.MigrateAsync(connectionString)));
        Assert.That(applied.Count(scripts => scripts.Count > 0), Is.EqualTo(1));
        await using var data = NpgsqlDataSource.Create(connectionString);
        await using var command = data.CreateCommand("select count(*) from engine.schema_version");
        Assert.That(await command.ExecuteScalarAsync(), Is.EqualTo((long)applied.Max(scripts => scripts.Count)));
    }

    [Test]
    public async Task The_read_only_role_sees_the_views_and_nothing_else()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var connection = await database.Data.OpenConnectionAsync();
        await using (var role = new NpgsqlCommand("set role exporter_readonly", connection))
        {
            await role.ExecuteNonQueryAsync();
        }

        foreach (var view in new[] { "runs", "steps", "attempts", "workers", "run_log", "queues", "schedules", "occurrences" })
        {
            await using var select = new NpgsqlCommand($"select count(*) from engine.{view}", connection);
            Assert.That(await select.ExecuteScalarAsync(), Is.Zero, view);
        }

        foreach (var table in new[] { "run", "live_run", "outcome", "step_record", "worker", "schedule" })
        {
            await using var select = new NpgsqlCommand($"select count(*) from engine.{table}", connection);
            var error = await Assert.ThrowsAsync<PostgresException>(async () => await select.ExecuteScalarAsync());
            Assert.That(error!.SqlState, Is.EqualTo(PostgresErrorCodes.InsufficientPrivilege), table);
        }
    }
}

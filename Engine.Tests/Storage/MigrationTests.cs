using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
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
        var scripts = applied.SelectMany(scripts => scripts).ToList();
        Assert.That(scripts, Is.Unique);
        await using var data = NpgsqlDataSource.Create(connectionString);
        await using var command = data.CreateCommand("select count(*) from engine.schema_version");
        Assert.That(await command.ExecuteScalarAsync(), Is.EqualTo((long)scripts.Count).And.GreaterThan(0));
        Assert.That(await EngineSchema.MissingAsync(connectionString), Is.Empty);
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

        foreach (var view in new[] { "runs", "steps", "attempts", "workers", "run_log", "queues", "schedules", "occurrences", "concurrency_keys", "signals", "stranded_runs" })
        {
            await using var select = new NpgsqlCommand($"select count(*) from engine.{view}", connection);
            Assert.That(await select.ExecuteScalarAsync(), Is.Zero, view);
        }

        foreach (var table in new[] { "run", "live_run", "outcome", "step_record", "worker", "schedule", "signal", "relay" })
        {
            await using var select = new NpgsqlCommand($"select count(*) from engine.{table}", connection);
            var error = await Assert.ThrowsAsync<PostgresException>(async () => await select.ExecuteScalarAsync());
            Assert.That(error!.SqlState, Is.EqualTo(PostgresErrorCodes.InsufficientPrivilege), table);
        }
    }

    [Test]
    public async Task Schedules_of_the_first_version_go_on_as_they_did()
    {
        var connectionString = await TestPostgres.NewDatabaseAsync();
        using var script = new StreamReader(typeof(EngineSchema).Assembly.GetManifestResourceStream("migrations/0001_engine.sql")!);
        await using var data = NpgsqlDataSource.Create(connectionString);
        await using (var old = data.CreateCommand(
            "create schema engine;" + await script.ReadToEndAsync() + """
            create table engine.schema_version (schemaversionsid serial primary key, scriptname varchar(255) not null, applied timestamp not null);
            insert into engine.schema_version (scriptname, applied) values ('migrations/0001_engine.sql', now());
            insert into engine.schedule (schedule_id, spec, workflow, queue, input, catch_up_window, settled_to, next_occurrence, next_at, paused, note)
            values ('s', '{"every": "01:00:00"}', 'code', 'test', '', '1 day', '2026-01-01 00:00Z', '2026-01-01 01:00Z', '2026-01-01 01:00Z', false, null),
              ('lost', '{"cron": "* * * * *", "timeZone": "Mars/Olympus"}', 'code', 'test', '', '1 day', '2026-01-01 00:00Z', null, null, true, 'It cannot fire: no zone');
            insert into engine.occurrence (schedule_id, occurrence, outcome, run_id, reason)
            values ('s', '2026-01-01 00:00Z', 'started', '00000000-0000-0000-0000-000000000001', null), ('s', '2025-12-31 23:00Z', 'skipped', null, 'Missed.');
            insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
            values ('00000000-0000-0000-0000-000000000001', 'code', 'test', 0, 'queued', now())
            """))
        {
            await old.ExecuteNonQueryAsync();
        }

        Assert.That(await EngineSchema.MigrateAsync(connectionString), Does.Contain("migrations/0002_schedules.sql").And.None.Contains("0001"));
        await using var check = data.CreateCommand(
            """
            select string_agg(concat_ws(' ', schedule_id, overlap, blocked, running), ', ' order by schedule_id)
            from engine.schedule left join (select schedule_id, bool_or(running) as running from engine.occurrence group by 1) o using (schedule_id)
            """);
        Assert.That(await check.ExecuteScalarAsync(), Is.EqualTo("lost allow_all t, s allow_all f t"));
        var shown = await new ScheduleClient(data, new PayloadCodec(KeyRing.Empty)).DescribeAsync("s", next: 1);
        Assert.That(shown!.Next[0], Is.EqualTo(new DateTimeOffset(2026, 1, 1, 1, 0, 0, TimeSpan.Zero)));
    }
}

using System.Diagnostics;
using System.Globalization;
using Apache.Arrow;
using Exporter.Engine.Testing;
using Exporter.Exports.Destinations.Postgres;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>
/// <c>make bench-export DESTINATION=postgres</c>: rows that are in memory as they came from ClickHouse, written by the destination into a
/// table, beside <c>psql \copy</c> of the same rows as CSV into a table of the same columns, in turn, on one connection each.
/// </summary>
internal static class PostgresBench
{
    private const double Bar = 0.8;

    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));

    /// <summary>Options: rows=N (300000), repeat=N (5).</summary>
    /// <returns>0 when the bar is met, 1 when it is missed, 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options)
    {
        var (rows, repetitions) = (300_000L, 5);
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            if (!(option.Split('=') switch
            {
                ["rows", var number] => long.TryParse(number, CultureInfo.InvariantCulture, out rows) && rows >= 1000,
                ["repeat", var number] => int.TryParse(number, CultureInfo.InvariantCulture, out repetitions) && repetitions > 0,
                _ => false,
            }))
            {
                await Console.Error.WriteLineAsync($"\"{option}\" is no option: rows=N of at least 1000, repeat=N.");
                return 2;
            }
        }

        await using var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true });
        await using var clickHouse = await LocalClickHouse.StartAsync();
        var csv = Path.GetTempFileName();
        try
        {
            return await RunAsync(postgres, clickHouse, csv, rows, repetitions) ? 0 : 1;
        }
        finally
        {
            File.Delete(csv);
        }
    }

    private static async Task<bool> RunAsync(LocalPostgres postgres, LocalClickHouse clickHouse, string csv, long rows, int repetitions)
    {
        await clickHouse.ExecuteAsync("CREATE DATABASE bench");
        await clickHouse.ExecuteAsync("CREATE TABLE bench.events (id UInt64, uuid UUID, timestamp DateTime64(6, 'UTC'), event LowCardinality(String), team_id Int64, distinct_id String, amount Decimal(18, 4), score Float64, ok Bool, properties String) ENGINE = MergeTree ORDER BY (timestamp, id)");
        await clickHouse.ExecuteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"""
            INSERT INTO bench.events SELECT number, generateUUIDv4(), toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86400000000, {rows})),
              ['$pageview', '$autocapture', 'purchase'][1 + number % 3], number % 7, concat('user-', toString(cityHash64(number) % 50000)),
              toDecimal64(number, 4) / 7, number / 3, number % 2 = 0, arrayStringConcat(arrayMap(i -> concat('"key_', toString(i), '":"', hex(cityHash64(number, i)), '"'), range(8)), ',')
            FROM numbers({rows})
            """));
        await File.WriteAllTextAsync(csv, await clickHouse.ExecuteAsync("SELECT * FROM bench.events ORDER BY timestamp, id FORMAT CSV"));
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = clickHouse.Of("bench") }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        var (schema, batches) = await ReadAsync(source, rows);
        var database = new NpgsqlConnectionStringBuilder(await postgres.CreateDatabaseAsync("bench"));
        await using var data = NpgsqlDataSource.Create(database.ConnectionString);
        var (ours, theirs) = (new List<double>(), new List<double>());
        long bytes = 0;
        for (var time = 0; time <= repetitions; time++)
        {
            // The first of each makes its table and is not counted.
            var (copied, sent) = await ExportAsync(database, schema, batches, time);
            await ExecuteAsync(data, "create table if not exists psql (like events); alter table psql drop column if exists _exporter_commit; truncate psql; checkpoint");
            var piped = await PsqlAsync(database, csv);
            await CompareAsync(data, rows);
            await ExecuteAsync(data, "truncate events; delete from _exporter_commits; checkpoint");
            if (time > 0)
            {
                ours.Add(copied);
                theirs.Add(piped);
                bytes = sent;
            }
        }

        foreach (var batch in batches)
        {
            batch.Dispose();
        }

        return await SayAsync(rows, bytes, new FileInfo(csv).Length, ours, theirs);
    }

    private static async Task<bool> SayAsync(long rows, long bytes, long csvBytes, List<double> ours, List<double> theirs)
    {
        var (our, their) = (Median(ours), Median(theirs));
        var peak = Usage.PeakMegabytes(Environment.ProcessId);
        await Console.Out.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"""
            {rows:N0} rows of 10 columns, {csvBytes / 1e6:N0} MB as CSV, {bytes / 1e6:N0} MB as binary COPY; {Environment.ProcessorCount} cores; median of {ours.Count}
            {"",-22} {"seconds",8} {"least",7} {"most",7} {"rows/s",10} {"MB/s of CSV",12}
            {"exporter to postgres",-22} {our,8:0.00} {ours.Min(),7:0.00} {ours.Max(),7:0.00} {rows / our,10:N0} {csvBytes / 1e6 / our,12:N0}
            {"psql \\copy, CSV",-22} {their,8:0.00} {theirs.Min(),7:0.00} {theirs.Max(),7:0.00} {rows / their,10:N0} {csvBytes / 1e6 / their,12:N0}
            peak memory of this process, which holds all rows: {peak:N0} MB
            speed beside psql: {their / our:0.00}, to be at least {Bar:0.00}: {(their / our >= Bar ? "met" : "missed")}
            """));
        return their / our >= Bar;
    }

    private static double Median(List<double> seconds) => seconds.Order().ElementAt(seconds.Count / 2);

    private static async Task<(Schema Schema, List<RecordBatch> Batches)> ReadAsync(ClickHouseSource source, long rows)
    {
        var model = new SourceModel { Table = "events", CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] };
        var columns = await source.DescribeAsync(model, default);
        var query = QueryBuilder.Rows(model, columns, new Slice { Number = 0, Range = Day, ExpectedRows = rows });
        await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "bench", default);
        var batches = new List<RecordBatch>();
        while (await reader.NextAsync(default) is { } batch)
        {
            batches.Add(batch);
        }

        return (SourceTypes.On(reader.Schema, columns), batches);
    }

    private static async Task<(double Seconds, long Bytes)> ExportAsync(NpgsqlConnectionStringBuilder database, Schema schema, List<RecordBatch> batches, int time)
    {
        await using var destination = new PostgresDestination(new PostgresOptions
        {
            Host = database.Host!, Port = database.Port, Database = database.Database!, Username = database.Username!, SslMode = "disable",
        }.Validate());
        var clock = Stopwatch.StartNew();
        await using var sink = await destination.OpenSliceAsync(new("events", Day, 0, 1, time + 1), schema, default);
        foreach (var batch in batches)
        {
            await sink.WriteAsync(batch, default);
        }

        var receipt = await sink.CommitAsync(default);
        return (clock.Elapsed.TotalSeconds, receipt.Bytes);
    }

    private static async Task<double> PsqlAsync(NpgsqlConnectionStringBuilder database, string csv)
    {
        var start = new ProcessStartInfo("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", $"\\copy psql from '{csv}' csv"])
        {
            Environment =
            {
                ["PGHOST"] = database.Host, ["PGPORT"] = database.Port.ToString(CultureInfo.InvariantCulture), ["PGUSER"] = database.Username,
                ["PGDATABASE"] = database.Database, ["PGTZ"] = "UTC",
            },
        };
        var clock = Stopwatch.StartNew();
        using var psql = Process.Start(start)!;
        await psql.WaitForExitAsync();
        return psql.ExitCode == 0 ? clock.Elapsed.TotalSeconds : throw new InvalidOperationException($"psql ended with {psql.ExitCode}.");
    }

    // A race that loses rows is no race.
    private static async Task CompareAsync(NpgsqlDataSource data, long rows)
    {
        await using var command = data.CreateCommand(
            "select (select count(*) from events), (select count(*) from (select id, uuid, timestamp, event, team_id, distinct_id, amount, ok, properties from events except all select id, uuid, timestamp, event, team_id, distinct_id, amount, ok, properties from psql) d)");
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        if (reader.GetInt64(0) != rows || reader.GetInt64(1) != 0)
        {
            throw new InvalidOperationException($"{reader.GetInt64(0)} rows of {rows}, of which {reader.GetInt64(1)} are not psql's.");
        }
    }

    private static async Task ExecuteAsync(NpgsqlDataSource data, string sql)
    {
        foreach (var statement in sql.Split(';'))
        {
            await using var command = data.CreateCommand(statement);
            await command.ExecuteNonQueryAsync();
        }
    }
}

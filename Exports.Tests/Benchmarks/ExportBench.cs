using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Testing;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Npgsql;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>How much memory a worker needs to export a table that is much larger, as the operating system counts it, and how long.</summary>
internal static class ExportBench
{
    private const long Limit = 600;

    /// <summary>Argument: GiB of uncompressed rows, 2 by default. Answers 1 when the peak is not under 600 MB.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var gib = args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 2;
        var output = Directory.CreateTempSubdirectory("exporter-bench-").FullName;
        try
        {
            await using var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true });
            await using var clickHouse = await LocalClickHouse.StartAsync();
            var bytes = await FillAsync(clickHouse, (long)(gib * (1 << 30)));
            await using var data = NpgsqlDataSource.Create(await postgres.CreateDatabaseAsync("bench"));
            await ExportSchema.MigrateAsync(data.ConnectionString);
            var key = KeyRing.NewKey();
            var runId = await StartAsync(data, key, output);
            var clock = Stopwatch.StartNew();
            var (state, peak, cpu) = await ExportAsync(data, clickHouse, key, runId);
            var run = await new RunStore(data).GetAsync(runId);
            var seconds = clock.Elapsed.TotalSeconds;
            await Console.Out.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"""
                state                     {state}
                rows                      {run.ExportedRows:N0} of {run.ExpectedRows:N0}
                uncompressed in source    {bytes / 1e6:N0} MB
                bytes on the wire         {run.SourceBytes / 1e6:N0} MB
                bytes written             {run.BytesWritten / 1e6:N0} MB
                slices                    {run.Slices}
                seconds                   {seconds:N1} ({bytes / 1e6 / seconds:N0} MB/s uncompressed), with start and claim
                processor of the worker   {cpu:N1} s
                peak memory of the worker {peak:N0} MB (VmHWM), limit {Limit} MB
                """));
            return state == RunState.Completed && run.ExportedRows == run.ExpectedRows && peak < Limit ? 0 : 1;
        }
        finally
        {
            Directory.Delete(output, recursive: true);
        }
    }

    private static async Task<long> FillAsync(LocalClickHouse server, long bytes)
    {
        await server.ExecuteAsync("CREATE DATABASE bench");
        await server.ExecuteAsync("CREATE TABLE bench.events (uuid UInt64, timestamp DateTime64(6, 'UTC'), event LowCardinality(String), properties String) ENGINE = MergeTree ORDER BY timestamp");
        var rows = bytes / 5600;
        for (var from = 0L; from < rows; from += 50_000)
        {
            await server.ExecuteAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"""
                INSERT INTO bench.events SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86400000000, {rows})),
                  ['$pageview', '$autocapture'][1 + number % 2], concat(arrayStringConcat(arrayMap(i -> hex(cityHash64(number, i)), range(60))), repeat('lorem ipsum dolor sit amet, ', 165))
                FROM numbers({from}, {Math.Min(50_000, rows - from)})
                """));
        }

        return long.Parse(await server.ExecuteAsync("SELECT sum(byteSize(uuid, timestamp, event, properties)) FROM bench.events"), CultureInfo.InvariantCulture);
    }

    private static async Task<Guid> StartAsync(NpgsqlDataSource data, string key, string output)
    {
        var codec = new PayloadCodec(KeyRing.Parse(key));
        var engine = new EngineClient(data, codec);
        await new DestinationStore(data, codec).CreateAsync(
            new Destination { Name = "files", Kind = "files", Settings = new JsonObject { ["root"] = output } }, "bench");
        var start = new DateTimeOffset(2026, 10, 1, 0, 0, 0, TimeSpan.Zero);
        var export = await new BatchExportStore(data, engine, new ScheduleClient(data, codec)).CreateAsync(
            new BatchExport
            {
                Name = "bench", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "bench",
                Model = new SourceModel { Table = "bench.events", CursorColumn = "timestamp" },
            },
            "files",
            "bench");
        return await new RunControl(data, engine, new RunStore(data)).StartAsync(export, new DataInterval(start, start.AddDays(1)), "bench");
    }

    private static async Task<(RunState State, long PeakMegabytes, double CpuSeconds)> ExportAsync(NpgsqlDataSource data, LocalClickHouse clickHouse, string key, Guid runId)
    {
        var engine = new EngineClient(data, new PayloadCodec(KeyRing.Parse(key)));
        await using var worker = ChaosProcess.Start(data.ConnectionString, clickHouse.ConnectionString, key);
        var peak = 0L;
        var cpu = 0.0;
        while (true)
        {
            peak = Math.Max(peak, worker.PeakMegabytes());
            cpu = Math.Max(cpu, worker.CpuSeconds());
            if ((await engine.GetAsync(runId))!.State is var state && state.IsFinal())
            {
                return (state, peak, cpu);
            }

            await Task.Delay(100);
        }
    }
}

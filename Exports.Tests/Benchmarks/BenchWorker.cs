using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Cli;
using Npgsql;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary><c>exporter worker</c> as an operator starts it, with its database, and exports that it is given.</summary>
internal sealed class BenchWorker : IAsyncDisposable
{
    private readonly LocalClickHouse _clickHouse;
    private readonly NpgsqlDataSource _data;
    private readonly string _key = KeyRing.NewKey();
    private readonly EngineClient _engine;
    private readonly DestinationStore _destinations;
    private readonly BatchExportStore _exports;
    private readonly RunStore _runs;
    private readonly RunControl _control;
    private CliProcess? _process;
    private int _exported;

    private BenchWorker(LocalClickHouse clickHouse, string database)
    {
        _clickHouse = clickHouse;
        _data = NpgsqlDataSource.Create(database);
        var codec = new PayloadCodec(KeyRing.Parse(_key));
        _engine = new EngineClient(_data, codec);
        _destinations = new DestinationStore(_data, codec);
        _exports = new BatchExportStore(_data, _engine, new ScheduleClient(_data, codec));
        _runs = new RunStore(_data);
        _control = new RunControl(_data, _engine, _runs);
    }

    /// <param name="postgres">Where its database is made.</param>
    /// <param name="clickHouse">Its source.</param>
    /// <param name="folder">Where it starts.</param>
    /// <param name="variables">Further variables of its environment. Default none.</param>
    public static async Task<BenchWorker> StartAsync(
        LocalPostgres postgres, LocalClickHouse clickHouse, string folder, IReadOnlyDictionary<string, string?>? variables = null)
    {
        var worker = new BenchWorker(clickHouse, await postgres.CreateDatabaseAsync("bench" + Guid.NewGuid().ToString("N")));
        await ExportSchema.MigrateAsync(worker._data.ConnectionString);
        worker._process = new ExporterCli(folder, new Dictionary<string, string?>
        {
            ["EXPORTER_POSTGRES"] = worker._data.ConnectionString,
            ["EXPORTER_CLICKHOUSE"] = clickHouse.ConnectionString,
            ["EXPORTER_ENCRYPTION_KEY"] = worker._key,
        }).Start(new CliCall { Environment = new(variables ?? new Dictionary<string, string?>()) }, "worker");
        return worker;
    }

    /// <summary>Exports an interval to a destination, and measures from the order until the run is completed.</summary>
    /// <param name="interval">Whole days.</param>
    /// <param name="destination">Makes a new one for each export.</param>
    /// <param name="times">How many exports of it at once, to destinations of their own.</param>
    /// <param name="format">Of the files. Default as it is.</param>
    public async Task<Pace> ExportAsync(DataInterval interval, Func<Task<Destination>> destination, int times = 1, FormatOptions? format = null)
    {
        var exports = new List<BatchExportView>();
        for (var i = 0; i < times; i++)
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"bench-{_exported++}");
            await _destinations.CreateAsync((await destination()) with { Name = name }, "bench");
            exports.Add(await _exports.CreateAsync(
                new BatchExport
                {
                    Name = name, DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) }, Paused = true, Note = "bench", Format = format ?? new FormatOptions(),
                    Model = new SourceModel { Table = BenchTable.Name, CursorColumn = "timestamp", KeyColumns = ["timestamp", "uuid"] },
                },
                name,
                "bench"));
        }

        var (began, ended) = (DateTimeOffset.MinValue, DateTimeOffset.MaxValue);
        var pace = await Usage.MeasureAsync(_process!.Id, _clickHouse.ProcessId, async () =>
        {
            var ids = await Task.WhenAll(exports.Select(export => _control.StartAsync(export, interval, "bench")));
            await Task.WhenAll(ids.Select(id => _engine.ResultAsync<JsonObject>(id)));
            var runs = await Task.WhenAll(ids.Select(id => _runs.GetAsync(id)));
            (began, ended) = (runs.Min(run => run.CreatedAt), runs.Max(run => run.FinishedAt!.Value));
            return runs.All(run => run.State == "completed" && run.ExportedRows == run.ExpectedRows)
                ? (runs.Sum(run => run.ExportedRows), runs.Sum(run => run.SourceBytes), runs.Sum(run => run.BytesWritten))
                : throw new InvalidOperationException(string.Join(", ", runs.Select(run => $"{run.State}: {run.Error}")) + _process.Log);
        });

        // By the database, since whoever waits for a result learns of it a moment later.
        return pace with { Seconds = (ended - began).TotalSeconds };
    }

    public async ValueTask DisposeAsync()
    {
        await (_process?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _data.DisposeAsync();
    }
}

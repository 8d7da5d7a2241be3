using System.Text.Json.Nodes;
using Exporter.Engine;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests;
using Exporter.Engine.Workers;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>A table in ClickHouse, a folder, a database and a worker: what a test of whole runs needs.</summary>
internal sealed class RunFixture : IAsyncDisposable
{
    private readonly string _connection;
    private IHost? _host;

    private RunFixture(LocalClickHouse server, string name, string connection, TestDatabase database)
    {
        (Server, _connection, Database) = (server, connection, database);
        Table = name + ".t";
        Folder = Directory.CreateTempSubdirectory("exporter-run-").FullName;
    }

    public static DateTimeOffset Start { get; } = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    public static DataInterval Day { get; } = new(Start, Start.AddDays(1));

    public LocalClickHouse Server { get; }

    public string Table { get; }

    public string Folder { get; }

    public TestDatabase Database { get; }

    public VerificationStore Verifications => new(Database.Data, Database.Engine, Database.Runs);

    public static async Task<RunFixture> NewAsync(LocalClickHouse? server = null, string? user = null)
    {
        server ??= await TestServers.ClickHouseAsync();
        var name = "t" + Guid.NewGuid().ToString("N");
        await server.CreateDatabaseAsync(name);
        return new RunFixture(server, name, server.Of(name, user ?? LocalClickHouse.User), await TestDatabase.NewAsync());
    }

    /// <summary>One with a table that is filled, and a worker that is started.</summary>
    public static async Task<RunFixture> StartedAsync(string columns, string rows, string engine = "MergeTree ORDER BY ts")
    {
        var fixture = await NewAsync();
        await fixture.FillAsync(columns, rows, engine);
        await fixture.StartAsync();
        return fixture;
    }

    /// <summary>Makes the table and fills it.</summary>
    public async Task FillAsync(string columns, string rows, string engine = "MergeTree ORDER BY ts")
    {
        await Server.ExecuteAsync($"CREATE TABLE {Table} ({columns}) ENGINE = {engine}");
        await Server.ExecuteAsync($"INSERT INTO {Table} {rows}");
    }

    /// <summary>Starts a worker.</summary>
    /// <param name="limits">What a column of the destination can hold. Default what files can.</param>
    /// <param name="open">Opens destinations. Default as they are.</param>
    /// <param name="smtp">The server that mail goes out by. Default none.</param>
    /// <param name="queryTime">ClickHouse's own limit of a query. Default none.</param>
    public async Task StartAsync(
        Func<Apache.Arrow.Field, ColumnLimit?>? limits = null, OpenDestination? open = null, SmtpOptions? smtp = null, TimeSpan? queryTime = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        if (open is not null)
        {
            builder.Services.AddSingleton(open);
        }

        if (smtp is not null)
        {
            builder.Services.AddSingleton(smtp);
        }

        if (limits is not null)
        {
            builder.Services.AddSingleton<OpenDestination>((destination, format) => new LimitedDestination(DestinationKinds.Open(destination, format), limits));
        }

        builder.Services.AddWorkflowEngine(Database.ConnectionString, Database.Codec)
            .AddBatchExports(new ClickHouseOptions
            {
                ConnectionString = _connection,
                MaxExecutionTime = queryTime,
                Settings = new Dictionary<string, string> { ["function_sleep_max_microseconds_per_block"] = "0" },
            })
            .AddWorker(ExportInput.Queue, new WorkerOptions { Slots = 2, PollInterval = TimeSpan.FromMilliseconds(100) })
            .AddWorker(BackfillStore.Queue, new WorkerOptions { Slots = 2, PollInterval = TimeSpan.FromMilliseconds(100) });
        _host = builder.Build();
        await _host.StartAsync();
    }

    /// <summary>Does something when the worker comes to a moment, and holds it up meanwhile: the first so many times.</summary>
    public void On(WorkerMoment moment, string step, Func<Task> body, int times = 1)
    {
        var signals = _host!.Services.GetRequiredService<WorkerSignals>();
        var before = signals.Raised;
        signals.Raised = (raised, run, name) =>
        {
            before?.Invoke(raised, run, name);
            if (raised == moment && name == step && Interlocked.Decrement(ref times) >= 0)
            {
                // The moment is a callback that cannot wait; the worker has threads enough for one that does.
                using var done = new ManualResetEventSlim();
                _ = Task.Run(async () =>
                {
                    try
                    {
                        await body();
                    }
                    finally
                    {
                        done.Set();
                    }
                });
                done.Wait();
            }
        };
    }

    /// <summary>An export of the table.</summary>
    public static BatchExport Export(Dedup dedup = Dedup.None, params string[] key) => new()
    {
        Name = "daily",
        DestinationId = Guid.Empty,
        Model = new SourceModel { Table = "t", CursorColumn = "ts", KeyColumns = key.Length == 0 ? ["id"] : key, VersionColumn = dedup == Dedup.None ? null : "v", Dedup = dedup },
        Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) },
        Settings = new ExportSettings { TargetSliceBytes = 200_000 },
        Paused = true,
        Note = "started by hand",
    };

    /// <summary>Exports the day and waits for its end.</summary>
    /// <param name="export">The export, which is made first; null: it is there.</param>
    /// <param name="destination">Where to. Default the folder.</param>
    public async Task<RunView> RunAsync(BatchExport? export = null, Destination? destination = null) => await EndedRunAsync(await StartRunAsync(export, destination));

    /// <summary>The same, and does not wait.</summary>
    public async Task<Guid> StartRunAsync(BatchExport? export = null, Destination? destination = null)
    {
        if (export is not null)
        {
            destination ??= new Destination { Name = "folder", Kind = "files", Settings = new JsonObject { ["root"] = Folder } };
            await Database.Destinations.CreateAsync(destination, "tester");
            await Database.Exports.CreateAsync(export, destination.Name, "tester");
        }

        return await Database.Control.StartAsync(await Database.Exports.GetAsync("daily"), Day, "tester");
    }

    /// <summary>A run, once it has ended.</summary>
    public async Task<RunView> EndedRunAsync(Guid runId)
    {
        RunView run = null!;
        await Eventually.TrueAsync(
            async () => (run = await Database.Runs.GetAsync(runId)).State is "completed" or "failed" or "cancelled", "the run has ended", 90);
        return run;
    }

    /// <summary>Looks at a run again and waits for the look's end.</summary>
    public async Task<VerificationView> VerifyAsync(Guid runId, VerificationKind kind = VerificationKind.Verify) =>
        await EndedAsync(await Verifications.StartAsync(runId, kind, "tester"));

    public async Task<VerificationView> EndedAsync(Guid verificationId)
    {
        VerificationView look = null!;
        await Eventually.TrueAsync(
            async () => (look = await Verifications.GetAsync(verificationId)).State is "completed" or "failed" or "cancelled", "the look has ended", 90);
        return look;
    }

    /// <summary>What a query says of all files, and of the table; the same expression.</summary>
    public async Task<(string Files, string Table)> CompareAsync(string expression) => (
        await Server.ExecuteAsync($"SELECT {expression} FROM file('{Folder}/**/*.parquet', 'Parquet')"),
        await Server.ExecuteAsync($"SELECT {expression} FROM {Table}"));

    /// <summary>Checks that manifest, files and slices say the same, and that every committed slice agrees with the source.</summary>
    public async Task ExpectProofAsync(RunView run)
    {
        var path = Directory.EnumerateFiles(Folder, "manifest.json", SearchOption.AllDirectories).Single();
        var manifest = JsonNode.Parse(await File.ReadAllTextAsync(path))!;
        var listed = manifest["files"]!.AsArray().Select(file => (string)file!["file"]!).Order(StringComparer.Ordinal).ToList();
        var there = Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetFileName(file) != "manifest.json").Select(file => Path.GetRelativePath(Folder, file)).Order(StringComparer.Ordinal).ToList();
        Assert.That(there, Is.EqualTo(listed), "the files are those of the manifest");
        Assert.That((long)manifest["rows"]!, Is.EqualTo(run.ExportedRows));
        Assert.That((long)manifest["quarantined_rows"]!, Is.EqualTo(run.QuarantinedRows));
        var slices = await Database.Runs.SlicesAsync(run.RunId);
        Assert.That(slices.Where(slice => slice.State == "committed").All(slice => slice.Agrees == true), Is.True, "rows and keys are the source's");
        Assert.That(slices.Any(slice => slice.State == "pending"), Is.False);
        Assert.That(
            manifest["files"]!.AsArray().Select(file => (string?)file!["key_hash"]),
            Is.EqualTo(slices.Where(slice => slice.File is not null).Select(slice => slice.WrittenKeyHash)));
    }

    public async ValueTask DisposeAsync()
    {
        await (_host?.StopAsync() ?? Task.CompletedTask);
        _host?.Dispose();
        await Database.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>A destination whose columns hold less.</summary>
    private sealed class LimitedDestination(IDestination inner, Func<Apache.Arrow.Field, ColumnLimit?> limits) : IDestination
    {
        public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => inner.CheckAsync(cancellationToken);

        public Task<ISliceSink> OpenSliceAsync(SliceAddress address, Apache.Arrow.Schema schema, CancellationToken cancellationToken) =>
            inner.OpenSliceAsync(address, schema, cancellationToken);

        public Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken) => inner.FinishAsync(manifest, cancellationToken);

        public ColumnLimit? LimitOf(Apache.Arrow.Field field) => limits(field);

        public ExportError? Classify(Exception exception) => inner.Classify(exception);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

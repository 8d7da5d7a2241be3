using System.Globalization;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>What the run tables say of a run while it works, and of what it cost.</summary>
public sealed class ProgressTests
{
    private const int PartSize = 5 * 1024 * 1024;
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task StartAsync() => _fixture = await RunFixture.NewAsync();

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    // Of the first upload the third part never arrives, however often it is tried.
    [Test]
    public async Task A_slice_that_fails_in_mid_upload_costs_what_was_sent_and_read_and_its_rows_are_there_once()
    {
        const int Rows = 16_000;
        var server = await TestServers.S3Async();
        var bucket = await server.CreateBucketAsync();
        var doomed = "";
        await _fixture.FillAsync("ts DateTime64(6, 'UTC'), id UInt64, text String", string.Create(CultureInfo.InvariantCulture, $"""
            SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 5), number, randomPrintableASCII(1000) FROM numbers({Rows})
            """));
        await _fixture.StartAsync(open: (destination, format) => new S3Destination(
            DestinationOptions.Read<S3Options>(destination).Validate(),
            format,
            new FaultyS3Client(request =>
            {
                var query = request.RequestUri!.Query;
                var upload = query.Split('&', '?').FirstOrDefault(part => part.StartsWith("uploadId=", StringComparison.Ordinal)) ?? "";
                doomed = doomed.Length == 0 ? upload : doomed;
                return FaultyS3Client.IsPart(request) && query.Contains("partNumber=3", StringComparison.Ordinal) && upload == doomed ? Fault.Refuse : Fault.None;
            })));
        var run = await _fixture.RunAsync(
            RunFixture.Export() with
            {
                Format = new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None },
                Settings = new ExportSettings { TargetSliceBytes = 1L << 30 },
            },
            new Destination
            {
                Name = "s3",
                Kind = "s3",
                Settings = new() { ["bucket"] = bucket, ["endpoint"] = server.Endpoint.ToString(), ["part_size"] = PartSize },
                Secrets = new Dictionary<string, string> { ["access_key"] = server.AccessKey, ["secret_key"] = server.SecretKey },
            });

        Assert.That((run.State, run.ExportedRows, run.Slices), Is.EqualTo(("completed", (long)Rows, (int?)1)), run.Error);
        var attempts = await _fixture.Database.Attempts.ListAsync(run.RunId);
        Assert.That(attempts.Select(attempt => attempt.State), Is.EqualTo(new[] { "failed", "committed" }));
        Assert.That(run.ResentBytes, Is.GreaterThanOrEqualTo(2 * PartSize).And.EqualTo(attempts[0].SentBytes), "the parts that S3 had acknowledged");
        Assert.That(run.SentBytes, Is.EqualTo(run.BytesWritten + run.ResentBytes));
        Assert.That(attempts[0].SourceBytes, Is.GreaterThan(PartSize));
        Assert.That(run.ReadBytes, Is.EqualTo(run.SourceBytes + attempts[0].SourceBytes), "what the failed attempt had read is counted, too");
        var slice = (await _fixture.Database.Runs.SlicesAsync(run.RunId)).Single();
        Assert.That((slice.ResentBytes, slice.SentBytes, slice.ReadBytes, slice.SourceBytes, slice.Attempt, slice.Agrees), Is.EqualTo(
            (run.ResentBytes, run.SentBytes, run.ReadBytes, (long?)run.SourceBytes, (int?)2, (bool?)true)));

        using var client = server.CreateClient();
        using var found = await client.GetObjectAsync(bucket, slice.File);
        await using (var file = File.Create(Path.Combine(_fixture.Folder, "rows.jsonl")))
        {
            await found.ResponseStream.CopyToAsync(file);
        }

        const string Sums = "SELECT count(), uniqExact(id), sum(cityHash64(id, text)) FROM";
        Assert.That(
            await _fixture.Server.ExecuteAsync($"{Sums} file('{_fixture.Folder}/rows.jsonl', 'JSONEachRow', 'id UInt64, text String')"),
            Is.EqualTo(await _fixture.Server.ExecuteAsync($"{Sums} {_fixture.Table}")));
    }

    // The first COMMIT never arrives, when all of the rows had been sent.
    [Test]
    public async Task A_slice_whose_commit_never_reaches_PostgreSQL_costs_all_that_was_sent_and_its_rows_are_there_once()
    {
        const int Rows = 5_000;
        await using var target = await PostgresServer.NewAsync();
        await using var proxy = FaultProxy.Start(target.Parts.Port);
        var trap = new FaultTrap(FaultMoment.NeverArrives, "copy ", "_exporter_commits", "COMMIT");
        proxy.Set(trap);
        await _fixture.FillAsync("ts DateTime64(6, 'UTC'), id UInt64", string.Create(CultureInfo.InvariantCulture, $"""
            SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 15), number FROM numbers({Rows})
            """));
        await _fixture.StartAsync();
        var runId = await _fixture.StartRunAsync(
            RunFixture.Export() with { Settings = new ExportSettings { TargetSliceBytes = 1L << 30 } }, target.Configured(("port", proxy.Port)));
        await trap.Sprung.WaitAsync(TimeSpan.FromSeconds(60));
        trap.Release();

        var run = await _fixture.EndedRunAsync(runId);
        Assert.That((run.State, run.ExportedRows, run.Slices), Is.EqualTo(("completed", (long)Rows, (int?)1)), run.Error);
        var attempts = await _fixture.Database.Attempts.ListAsync(run.RunId);
        Assert.That(attempts.Select(attempt => attempt.State), Is.EqualTo(new[] { "failed", "committed" }));
        Assert.That(attempts[0].SentBytes, Is.GreaterThan(Rows * 8).And.EqualTo(attempts[1].SentBytes), "all of the rows, both times");
        Assert.That(run.ResentBytes, Is.EqualTo(attempts[0].SentBytes));
        Assert.That(run.SentBytes, Is.EqualTo(run.BytesWritten + run.ResentBytes));
        Assert.That(await target.ListAsync<string>("select count(*) || ' ' || count(distinct id) from daily"), Is.EqualTo(new[] { $"{Rows} {Rows}" }));
    }

    // Its conditions are slow for queries that begin within the first seconds: those that count.
    [Test]
    public async Task A_run_that_plans_says_for_how_long_and_what_was_read()
    {
        const int Rows = 5_000;
        await _fixture.FillAsync("ts DateTime64(6, 'UTC'), id UInt64", string.Create(CultureInfo.InvariantCulture, $"""
            SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), number FROM numbers({Rows})
            """));
        await _fixture.StartAsync();
        var slow = TimeProvider.System.GetUtcNow().AddSeconds(5).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var export = RunFixture.Export();
        var runId = await _fixture.StartRunAsync(export with { Model = export.Model with { Filter = $"if(toUnixTimestamp(now()) < {slow}, sleepEachRow(0.001), 0) = 0" } });
        RunView seen = null!;
        await Eventually.TrueAsync(
            async () => (seen = await _fixture.Database.Runs.GetAsync(runId)).PlanningReadRows > 0 && seen.Phase == "planning", "what planning has read is seen while it reads");
        Assert.That((seen.State, seen.Slices, seen.PlanningSeconds > 1), Is.EqualTo(("running", (int?)null, true)));

        var run = await _fixture.EndedRunAsync(runId);
        Assert.That((run.State, run.Phase, run.ExportedRows), Is.EqualTo(("completed", (string?)null, (long)Rows)), run.Error);
        Assert.That(run.PlanningReadRows, Is.GreaterThanOrEqualTo(Rows), "and what it has cost is kept");
        Assert.That(run.PlanningReadBytes, Is.GreaterThan(Rows * 8));
    }
}

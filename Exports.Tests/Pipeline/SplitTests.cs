using System.Globalization;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Slices that are too much for a real server's real limits, or for a file, are split until they are not.</summary>
public sealed class SplitTests
{
    private LocalClickHouse _limited = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _limited = await LimitedClickHouse.StartAsync();

    [OneTimeTearDown]
    public async Task EndAsync() => await _limited.DisposeAsync();

    [TestCase("id", TestName = "A_slice_that_needs_too_much_memory_is_split_until_it_does_not_by_hash")]
    [TestCase("ts,id", TestName = "A_slice_that_needs_too_much_memory_is_split_until_it_does_not_by_cursor")]
    public async Task A_slice_that_needs_too_much_memory_is_split_until_it_does_not(string key)
    {
        await using var fixture = await RunFixture.NewAsync(_limited, "limited");
        await LimitedClickHouse.FillAsync(fixture);
        await fixture.StartAsync();
        var run = await fixture.RunAsync(LimitedClickHouse.Export(key.Split(',')));
        Assert.That((run.State, run.ExportedRows, run.LateRows), Is.EqualTo(("completed", LimitedClickHouse.Rows, (long?)0)), run.Error);
        Assert.That(run.SlicesSplit, Is.GreaterThan(0), "or nothing is shown");
        Assert.That(run.Slices, Is.EqualTo(run.SlicesCommitted));
        await fixture.ExpectProofAsync(run);
        var (files, table) = await fixture.CompareAsync("count(), sum(id), sum(cityHash64(text))");
        Assert.That(files, Is.EqualTo(table));
        await ExpectHalvesTileAsync(fixture, run);
    }

    [Test]
    public async Task A_slice_that_takes_too_long_is_split()
    {
        await using var fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64", "SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 40), number FROM numbers(2000)");
        var export = RunFixture.Export();
        var run = await fixture.RunAsync(export with
        {
            Model = export.Model with { Columns = [new("id", "id"), new("sleepEachRow(0.001)", "slow")] },
            Settings = export.Settings with { TargetSliceBytes = 1 << 20, MaxSliceTime = TimeSpan.FromSeconds(1), ParallelSlices = 1 },
        });
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", 2000L)), run.Error);
        Assert.That(run.SlicesSplit, Is.GreaterThan(0));
        await fixture.ExpectProofAsync(run);
        await ExpectHalvesTileAsync(fixture, run);
    }

    [Test]
    public async Task A_slice_whose_query_ClickHouse_ends_for_its_time_is_split()
    {
        await using var fixture = await RunFixture.NewAsync();
        await fixture.FillAsync(
            "ts DateTime64(6, 'UTC'), id UInt64", "SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 10), number FROM numbers(8000)");
        // All rows take 1.6 s; the thousand that the plan goes by, which are not split, 0.2.
        await fixture.StartAsync(queryTime: TimeSpan.FromSeconds(1));
        var export = RunFixture.Export();
        var run = await fixture.RunAsync(export with
        {
            Model = export.Model with { Columns = [new("id", "id"), new("sleepEachRow(0.0002)", "slow")] },
            Settings = export.Settings with { TargetSliceBytes = 1 << 20, ParallelSlices = 2 },
        });
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", 8000L)), run.Error);
        Assert.That(run.SlicesSplit, Is.GreaterThan(0));
        await Engine.Tests.Eventually.TrueAsync(
            async () => await fixture.Database.ScalarAsync<long>(
                "select count(*) from engine.run_log where message like '%is split into%' and message like '%159%'") == run.SlicesSplit,
            "the log says that each was for that reason");
        await fixture.ExpectProofAsync(run);
        await ExpectHalvesTileAsync(fixture, run);
    }

    [Test]
    public async Task No_file_is_larger_than_it_may_be_and_the_next_run_is_planned_that_way()
    {
        const int Most = 100_000;
        await using var fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64, text String",
            "SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC'), number, randomPrintableASCII(100) FROM numbers(5000)");
        var export = RunFixture.Export();
        // Bytes as they are planned with before anything was written come from the source, where a text is no JSON.
        var run = await fixture.RunAsync(export with
        {
            Format = new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None },
            Settings = export.Settings with { TargetSliceBytes = 1 << 30, MaxFileBytes = Most },
        });
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", 5000L)), run.Error);
        Assert.That(run.SlicesSplit, Is.GreaterThan(0), "the first run had to find out");
        await ExpectSmallAsync(run);
        var again = await fixture.RunAsync();
        Assert.That((again.State, again.ExportedRows, again.SlicesSplit), Is.EqualTo(("completed", 5000L, 0)), "the second one knew");
        await ExpectSmallAsync(again);
        Assert.That(
            await fixture.Server.ExecuteAsync($"SELECT count(), uniqExact(id) FROM file('{fixture.Folder}/**/*.jsonl', 'JSONEachRow')"), Is.EqualTo("5000\t5000"));

        async Task ExpectSmallAsync(RunView of)
        {
            await fixture.ExpectProofAsync(of);
            Assert.That(Directory.EnumerateFiles(fixture.Folder, "*.jsonl", SearchOption.AllDirectories).Max(file => new FileInfo(file).Length), Is.LessThanOrEqualTo(Most));
        }
    }

    [Test]
    public async Task Rows_that_nothing_tells_apart_stay_together_and_the_error_says_why()
    {
        await using var fixture = await RunFixture.NewAsync(_limited, "limited");
        await LimitedClickHouse.FillAsync(fixture, cursor: "toDateTime64('2026-11-01 00:00:00', 6, 'UTC')");
        await fixture.StartAsync();
        var export = LimitedClickHouse.Export("id");
        var model = export.Model with { KeyColumns = [], Dedup = Dedup.None, VersionColumn = null, Columns = [new("arrayJoin(groupArray(text))", "text")] };
        await fixture.Database.Destinations.CreateAsync(
            new Destination { Name = "folder", Kind = "files", Settings = new() { ["root"] = fixture.Folder } }, "tester");
        var created = await fixture.Database.Exports.CreateAsync(export with { Model = model }, "folder", "tester");
        var runId = await fixture.Database.Control.StartAsync(created, RunFixture.Day, "tester");
        await Engine.Tests.Eventually.TrueAsync(
            async () => (await fixture.Database.Runs.GetAsync(runId)).Error is { } error && error.Contains("241", StringComparison.Ordinal), "it is told");
        Assert.That((await fixture.Database.Runs.GetAsync(runId)).SlicesSplit, Is.Zero);
    }

    // Every split slice has two halves with its numbers, which hold its range and hash buckets.
    private static async Task ExpectHalvesTileAsync(RunFixture fixture, RunView run)
    {
        var slices = (await fixture.Database.Runs.SlicesAsync(run.RunId)).ToDictionary(slice => slice.Slice);
        var planned = await fixture.Database.ScalarAsync<int>("select planned_slices from exports.run where run_id = @RunId", new { run.RunId });
        foreach (var whole in slices.Values.Where(slice => slice.State == "split"))
        {
            var halves = slices.Values.Where(slice => slice.SplitFrom == whole.Slice).OrderBy(slice => slice.Slice).ToArray();
            Assert.That(halves.Select(half => half.Slice), Is.EqualTo(new[] { planned + (2 * whole.Slice), planned + (2 * whole.Slice) + 1 }));
            var (first, second) = (halves[0], halves[1]);
            if (first.HashBuckets > 1)
            {
                Assert.That((first.HashBuckets, second.HashBuckets, first.HashBucket), Is.EqualTo((2 * whole.HashBuckets, 2 * whole.HashBuckets, whole.HashBucket)));
                Assert.That(second.HashBucket, Is.EqualTo(whole.HashBucket + whole.HashBuckets));
                Assert.That((first.RangeStart, first.RangeEnd, second.RangeStart, second.RangeEnd), Is.EqualTo((whole.RangeStart, whole.RangeEnd, whole.RangeStart, whole.RangeEnd)));
            }
            else
            {
                Assert.That((first.RangeStart, second.RangeEnd), Is.EqualTo((whole.RangeStart, whole.RangeEnd)));
                Assert.That(first.RangeEnd, Is.EqualTo(second.RangeStart));
            }
        }
    }
}

/// <summary>A ClickHouse whose user <c>limited</c> may use little memory in a query, and a table whose dedup wants more.</summary>
internal static class LimitedClickHouse
{
    public const long Rows = 40_000;

    public static Task<LocalClickHouse> StartAsync() => LocalClickHouse.StartAsync(new LocalClickHouseOptions
    {
        Limits = new Dictionary<string, string> { ["max_memory_usage"] = (48L << 20).ToString(CultureInfo.InvariantCulture), ["max_threads"] = "2" },
    });

    public static Task FillAsync(RunFixture fixture, string cursor = "toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 2)", long rows = Rows) => fixture.FillAsync(
        "ts DateTime64(6, 'UTC'), id UInt64, v UInt32, text String",
        $"SELECT {cursor}, number, 1, hex(cityHash64(number)) || repeat('x', 2000) FROM numbers({rows})");

    public static BatchExport Export(params string[] key)
    {
        var export = RunFixture.Export(Dedup.LimitBy, key);
        return export with { Settings = export.Settings with { TargetSliceBytes = 1 << 30, ParallelSlices = 2 } };
    }
}

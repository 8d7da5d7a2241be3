using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework.Constraints;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Plans over a real table: read slice by slice, every row comes once.</summary>
public sealed class RunPlannerTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DataInterval Day = new(Start, Start.AddDays(1));

    private ClickHouseSource _source = null!;

    [SetUp]
    public async Task MakeTableAsync()
    {
        var server = await TestServers.ClickHouseAsync();
        var connection = await server.CreateDatabaseAsync();
        var database = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        _source = new ClickHouseSource(new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        await server.ExecuteAsync(
            $"CREATE TABLE {database}.t (ts DateTime64(6, 'UTC'), id UInt64, v UInt32, text String) ENGINE = ReplacingMergeTree(v) ORDER BY id");
        await server.ExecuteAsync($"SYSTEM STOP MERGES {database}.t");
        // 10,000 rows over the day, 10,000 within one second, 5,000 at one instant, and half of all once more, an hour later, as a newer version.
        await server.ExecuteAsync(
            $"""
            INSERT INTO {database}.t SELECT multiIf(
                number < 10000, toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + number * 8,
                number < 20000, toDateTime64('2026-11-01 12:00:00', 6, 'UTC') + toIntervalMicrosecond(number * 50),
                toDateTime64('2026-11-01 18:00:00', 6, 'UTC')), number, 1, repeat('x', 100) FROM numbers(25000)
            """);
        await server.ExecuteAsync(
            $"INSERT INTO {database}.t SELECT ts + 3600, id, 2, text FROM {database}.t WHERE id % 2 = 0 AND ts < toDateTime64('2026-11-01 20:00:00', 6, 'UTC')");
    }

    [TearDown]
    public void Close() => _source.Dispose();

    [TestCase(Dedup.None, "id")]
    [TestCase(Dedup.None, "")]
    [TestCase(Dedup.DistinctOn, "id")]
    [TestCase(Dedup.DistinctOn, "id,ts")]
    [TestCase(Dedup.LimitBy, "id")]
    [TestCase(Dedup.Final, "id")]
    [TestCase(Dedup.Final, "")]
    public async Task Slices_together_hold_every_row_once(Dedup dedup, string key)
    {
        var export = Export(dedup, key);
        var plan = await new RunPlanner(_source, new SliceCounter(_source)).PlanAsync(export, Day, null, default);
        var whole = new Slice { Number = 0, Range = Day, ExpectedRows = 0 };
        var expected = await RowsAsync(export, plan, whole);
        var parts = new List<string>();
        foreach (var slice in plan.Slices)
        {
            var rows = await RowsAsync(export, plan, slice);
            Assert.That(rows, Has.Count.EqualTo(slice.ExpectedRows), $"slice {slice.Number}");
            parts.AddRange(rows);
        }

        Assert.That(plan.Slices, Has.Count.GreaterThan(20));
        parts.Sort(StringComparer.Ordinal);
        expected.Sort(StringComparer.Ordinal);
        Assert.That(parts.SequenceEqual(expected), Is.True, $"{parts.Count} rows in slices, {expected.Count} in the interval");
        Assert.That(expected, Has.Count.EqualTo(dedup == Dedup.None || key.Contains(',', StringComparison.Ordinal) ? expected.Count : 25000));
    }

    [TestCase("id")]
    [TestCase("")]
    public async Task Rows_close_together_are_cut_apart(string key)
    {
        var export = Export(Dedup.None, key);
        var plan = await new RunPlanner(_source, new SliceCounter(_source)).PlanAsync(export, Day, null, default);
        var rowBytes = (await _source.RowBytesAsync(export.Model, plan.Columns, Day, default))!.Value;
        // Hash buckets are not quite equal, so a slice may be a little larger than what is cut finer.
        var most = (long)(1.2 * SlicePlanner.HeavyFactor * export.Settings.TargetSliceBytes / rowBytes);
        Assert.That(most, Is.LessThan(4000), "the rows of one instant are too many for a slice");
        var largest = plan.Slices.Select(slice => slice.ExpectedRows).OrderDescending().ToArray();
        Assert.That(largest[0], key.Length > 0 ? (Constraint)Is.LessThan(most) : Is.InRange(5000, 5010), "only rows of one instant without a key stay together");
        Assert.That(largest.Skip(2).All(rows => rows < most), Is.True);
    }

    [Test]
    public async Task An_interval_without_rows_is_one_slice_without_rows()
    {
        var empty = new DataInterval(Start.AddDays(5), Start.AddDays(6));
        var plan = await new RunPlanner(_source, new SliceCounter(_source)).PlanAsync(Export(Dedup.LimitBy, "id"), empty, null, default);
        Assert.That(plan.Slices, Is.EqualTo(new[] { new Slice { Number = 0, Range = empty, ExpectedRows = 0, ExpectedKeyHash = 0 } }));
        Assert.That(plan.Columns, Has.Count.EqualTo(4));
    }

    private static BatchExport Export(Dedup dedup, string key) => new()
    {
        Name = "t",
        DestinationId = Guid.Empty,
        Model = new SourceModel
        {
            Table = "t", CursorColumn = "ts", VersionColumn = "v", Dedup = dedup, KeyColumns = key.Split(',', StringSplitOptions.RemoveEmptyEntries),
        },
        Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) },
        Settings = new ExportSettings { TargetSliceBytes = 100_000 },
    };

    private async Task<List<string>> RowsAsync(BatchExport export, ExportPlan plan, Slice slice)
    {
        var rows = new List<string>();
        await using var reader = await _source.ReadAsync(QueryBuilder.Rows(export.Model, plan.Columns, slice), Guid.NewGuid().ToString(), "", default);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                var id = (Apache.Arrow.UInt64Array)batch.Column("id");
                var version = (Apache.Arrow.UInt32Array)batch.Column("v");
                // DISTINCT ON promises one row of a key, not which.
                rows.AddRange(Enumerable.Range(0, batch.Length).Select(i =>
                    export.Model is { Dedup: Dedup.DistinctOn, KeyColumns.Count: 1 } ? $"{id.GetValue(i)}" : $"{id.GetValue(i)}/{version.GetValue(i)}"));
            }
        }

        return rows;
    }
}

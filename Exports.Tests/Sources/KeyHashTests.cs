using System.Globalization;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>The hash of keys is one number, however it is come by: read row by row, counted for a slice, for all slices at once, or in buckets.</summary>
public sealed class KeyHashTests
{
    private static readonly DataInterval Day = new(new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 11, 2, 0, 0, 0, TimeSpan.Zero));

    private LocalClickHouse _server = null!;
    private ClickHouseSource _source = null!;
    private string _table = null!;

    [OneTimeSetUp]
    public async Task MakeTableAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        var connection = await _server.CreateDatabaseAsync();
        _table = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..] + ".t";
        _source = new ClickHouseSource(new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {_table} (ts DateTime64(6, 'UTC'), id UInt64, name String, nothing Nullable(String), short LowCardinality(String),
              shortNothing LowCardinality(Nullable(String)), uuid UUID, money Decimal(40, 3), day Date, kind Enum8('a' = 1, 'b' = 2), ip IPv6, f Float64,
              v UInt32, vn Nullable(DateTime64(3)), vf Float64, vs LowCardinality(String))
            ENGINE = ReplacingMergeTree(v) ORDER BY (ts, id)
            """);
        await _server.ExecuteAsync($"SYSTEM STOP MERGES {_table}");
        foreach (var version in new[] { 1, 2, 3 })
        {
            await _server.ExecuteAsync(
                $"""
                INSERT INTO {_table} SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + number * 40, number, toString(number % 700), if(number % 3 = 0, NULL, toString(number)),
                  toString(number % 5), if(number % 4 = 0, NULL, toString(number % 6)), toUUID('00000000-0000-0000-0000-' || leftPad(toString(number), 12, '0')), number / 7,
                  toDate('2026-01-01') + number % 50, if(number % 2 = 0, 'a', 'b'), toIPv6('::' || hex(number)), if(number % 9 = 0, nan, number / 3),
                  {version}, if(number % 5 = 0, NULL, toDateTime64({version}, 3)), if(number % 8 = 0, nan, {version}), toString({version})
                FROM numbers(2000) WHERE {version} = 1 OR number % {version} = 0
                """);
        }
    }

    [OneTimeTearDown]
    public void Close() => _source.Dispose();

    [TestCase("id", "v")]
    [TestCase("ts,id", "v")]
    [TestCase("name", "v")]
    [TestCase("nothing", "v")]
    [TestCase("short,shortNothing", "vs")]
    [TestCase("uuid", "vn")]
    [TestCase("money,day,kind", "v")]
    [TestCase("ip", "vf")]
    [TestCase("f", null)]
    [TestCase("", "v")]
    [TestCase("", null)]
    public async Task The_hash_of_what_is_read_is_that_of_what_is_counted(string key, string? version)
    {
        foreach (var dedup in Enum.GetValues<Dedup>())
        {
            if (key.Length == 0 && dedup is Dedup.DistinctOn or Dedup.LimitBy)
            {
                continue;
            }

            var model = new SourceModel
            {
                Table = "t", CursorColumn = "ts", KeyColumns = key.Split(',', StringSplitOptions.RemoveEmptyEntries), VersionColumn = version, Dedup = dedup,
                Columns = [new("1", "one")],
            };
            var whole = new Slice { Number = 0, Range = Day, ExpectedRows = 0 };
            var read = await ReadAsync(model, whole);
            Assert.That(read.Rows, Is.GreaterThan(0));
            Assert.That(await _source.CountSliceAsync(model, whole, default), Is.EqualTo(read), $"{dedup}: a slice");
            if (model.KeyColumns.Count > 0)
            {
                var buckets = await _source.CountByHashAsync(model, Day, 3, default);
                Assert.That(Together(buckets), Is.EqualTo(read), $"{dedup}: hash buckets");
                Assert.That(await ReadAsync(model, whole with { HashBucket = 2, HashBuckets = 3 }) with { Number = 2 }, Is.EqualTo(buckets.Single(bucket => bucket.Number == 2)));
            }
        }
    }

    [Test]
    public async Task Many_slices_are_counted_at_once_as_each_alone()
    {
        var model = new SourceModel { Table = "t", CursorColumn = "ts", KeyColumns = ["ts", "id"], VersionColumn = "v", Dedup = Dedup.LimitBy };
        var starts = Enumerable.Range(0, 48).Select(half => Day.Start.AddMinutes(30 * half)).ToList();
        var counts = await _source.CountByStartAsync(model, Day, starts, default);
        Assert.That(counts, Has.Count.EqualTo(45), "the last hour and a half has no rows");
        foreach (var count in counts)
        {
            var start = starts.Single(one => SourceQuery.Nanoseconds(one) == count.Number);
            var alone = await _source.CountSliceAsync(model, new Slice { Number = 0, Range = new DataInterval(start, start.AddMinutes(30)), ExpectedRows = 0 }, default);
            Assert.That(alone with { Number = count.Number }, Is.EqualTo(count));
        }

        Assert.That(Together(counts), Is.EqualTo(Together(await _source.CountByCursorAsync(model, Day, TimeSpan.FromMinutes(7), default))));
    }

    [Test]
    public async Task A_reader_of_the_docs_gets_the_same_number_from_ClickHouse()
    {
        var model = new SourceModel { Table = "t", CursorColumn = "ts", KeyColumns = ["uuid"], VersionColumn = "v", Columns = [new("1", "one")] };
        var read = await ReadAsync(model, new Slice { Number = 0, Range = Day, ExpectedRows = 0 });
        Assert.That(
            await _server.ExecuteAsync($"SELECT count(), sum(cityHash64(tuple(uuid, v))) FROM {_table}"),
            Is.EqualTo(string.Create(CultureInfo.InvariantCulture, $"{read.Rows}\t{read.KeyHash}")));
    }

    private static BucketCount Together(IEnumerable<BucketCount> counts) =>
        counts.Aggregate(new BucketCount(0, 0), (sum, count) => new BucketCount(0, sum.Rows + count.Rows, unchecked(sum.KeyHash + count.KeyHash)));

    private async Task<BucketCount> ReadAsync(SourceModel model, Slice slice)
    {
        var query = QueryBuilder.Rows(model, await _source.DescribeAsync(model, default), slice, keyHash: true);
        await using var reader = await _source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
        var sum = new BucketCount(0, 0);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                var hashes = (Apache.Arrow.UInt64Array)batch.Column(QueryBuilder.KeyHash);
                sum = Together([sum, .. hashes.Values.ToArray().Select(hash => new BucketCount(0, 1, hash))]);
            }
        }

        return sum;
    }
}

using Apache.Arrow;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>A query in place of a table: cut into slices by the cursor and by hash, it gives the rows that it gives whole.</summary>
internal sealed class OwnQueryTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DataInterval Day = new(Start, Start.AddDays(1));

    private LocalClickHouse _server = null!;
    private string _database = null!;
    private ClickHouseSource _source = null!;

    [SetUp]
    public async Task MakeTablesAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        var connection = (await _server.CreateDatabaseAsync()).Replace($"Username={LocalClickHouse.User}", "Username=reader", StringComparison.Ordinal);
        _database = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        _source = new ClickHouseSource(new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        await _server.ExecuteAsync($"CREATE TABLE {_database}.t (ts DateTime64(6, 'UTC'), id UInt64, user UInt64, gone UInt8, v UInt32) ENGINE = MergeTree ORDER BY ts");
        // Three days, of which the middle one is asked for.
        await _server.ExecuteAsync(
            $"INSERT INTO {_database}.t SELECT toDateTime64('2026-10-31 00:00:00', 6, 'UTC') + number * 86.4, number, number % 100, 0, 1 FROM numbers(3000)");
    }

    [TearDown]
    public void Close() => _source.Dispose();

    [Test]
    public async Task Interval_parameters_are_the_run_s_interval_however_it_is_cut()
    {
        // Of each user its rows of the interval: cut by the cursor, every slice must still count the whole interval.
        var model = new SourceModel
        {
            Query = "SELECT user, count() AS rows, max(ts) AS last FROM t WHERE ts >= {interval_start:DateTime64(6)} AND ts < {interval_end:DateTime} GROUP BY user",
            CursorColumn = "last",
            KeyColumns = ["user"],
            Interval = Day,
        };
        var whole = await ReadAsync(model, Slice(Day));
        Assert.That((whole.Rows, whole.Sums["rows"]), Is.EqualTo((100L, 1000L)));

        var (rows, sum, users) = (0L, 0L, 0L);
        foreach (var part in (Slice[])[Slice(new(Start, Start.AddHours(22))), Slice(new(Start.AddHours(22), Start.AddHours(23))) with { HashBuckets = 2 }, Slice(new(Start.AddHours(22), Start.AddHours(23))) with { HashBucket = 1, HashBuckets = 2 }, Slice(new(Start.AddHours(23), Day.End))])
        {
            var some = await ReadAsync(model, part);
            (rows, sum, users) = (rows + some.Rows, sum + some.Sums["rows"], users + some.Sums["user"]);
        }

        Assert.That((rows, sum, users), Is.EqualTo((whole.Rows, whole.Sums["rows"], whole.Sums["user"])));
        var counted = await _source.CountByCursorAsync(model, Day, TimeSpan.FromHours(1), default);
        Assert.That(counted.Sum(bucket => bucket.Rows), Is.EqualTo(100));
        Assert.That(await _source.RowBytesAsync(model, await _source.DescribeAsync(model, default), Day, default), Is.GreaterThan(0));
    }

    [Test]
    public async Task A_query_has_columns_dedup_and_conditions_as_a_table_has()
    {
        var model = new SourceModel
        {
            Query = "SELECT t.*, toString(id) AS text FROM t AS t",
            CursorColumn = "ts",
            KeyColumns = ["user"],
            VersionColumn = "id",
            Dedup = Dedup.LimitBy,
            Include = [new("user", ["1", "2", "3"])],
            Where = [ConditionText.Condition("text contains 1")],
            Columns = [new("concat(text, '!')", "shout"), new("user", "user")],
        };
        var read = await ReadAsync(model, Slice(Day));
        Assert.That((read.Rows, string.Join(' ', read.Names)), Is.EqualTo((3L, "shout user")));
        Assert.That(read.Sums["user"], Is.EqualTo(6));
        Assert.That((await _source.CountByHashAsync(model, Day, 3, default)).Sum(bucket => bucket.Rows), Is.EqualTo(3));
    }

    [TestCase(Dedup.LimitBy, DeletedRows.LeaveOut, 70, 70)]
    [TestCase(Dedup.LimitBy, DeletedRows.Keep, 100, 100)]
    [TestCase(Dedup.Final, DeletedRows.LeaveOut, 70, 70)]
    [TestCase(Dedup.Final, DeletedRows.Keep, 100, 100)]
    [TestCase(Dedup.None, DeletedRows.LeaveOut, 160, 90)]
    [TestCase(Dedup.None, DeletedRows.Keep, 200, 100)]
    public async Task A_key_whose_newest_row_says_that_it_was_deleted_is_left_out_or_kept_with_its_flag(Dedup dedup, DeletedRows deleted, int rows, int keys)
    {
        await _server.ExecuteAsync(
            $"CREATE TABLE {_database}.r (ts DateTime64(3, 'UTC'), k UInt64, v UInt32, gone UInt8) ENGINE = ReplacingMergeTree(v) ORDER BY k");
        await _server.ExecuteAsync($"SYSTEM STOP MERGES {_database}.r");
        // Keys 0 to 99. Version 1: 10 to 19 are deleted. Version 2: 0 to 29 are deleted, 10 to 19 for the second time.
        await _server.ExecuteAsync($"INSERT INTO {_database}.r SELECT toDateTime64('2026-11-01 01:00:00', 3, 'UTC'), number, 1, number BETWEEN 10 AND 19 FROM numbers(100)");
        await _server.ExecuteAsync($"INSERT INTO {_database}.r SELECT toDateTime64('2026-11-01 02:00:00', 3, 'UTC'), number, 2, number < 30 FROM numbers(100)");
        var model = new SourceModel
        {
            Table = $"{_database}.r", CursorColumn = "ts", KeyColumns = ["k"], VersionColumn = "v", Dedup = dedup, DeletedColumn = "gone", Deleted = deleted,
        };
        var read = await ReadAsync(model, Slice(Day));
        Assert.That(read.Rows, Is.EqualTo(rows));
        Assert.That(read.Keys.Count, Is.EqualTo(keys));
        Assert.That(read.Sums["gone"], Is.EqualTo(deleted == DeletedRows.LeaveOut ? 0 : dedup == Dedup.None ? 40 : 30));
        Assert.That((await _source.CountByHashAsync(model, Day, 3, default)).Sum(bucket => bucket.Rows), Is.EqualTo(rows), "counted alike");
        Assert.That((await _source.CountByCursorAsync(model, Day, TimeSpan.FromDays(1), default)).Sum(bucket => bucket.Rows), Is.EqualTo(rows), "counted alike");
    }

    [Test]
    public async Task Of_two_rows_of_one_version_the_deletion_wins_wherever_it_is_counted()
    {
        await _server.ExecuteAsync($"CREATE TABLE {_database}.r (ts DateTime, k UInt64, v UInt32, gone Nullable(Bool)) ENGINE = MergeTree ORDER BY k");
        await _server.ExecuteAsync($"INSERT INTO {_database}.r SELECT toDateTime('2026-11-01 01:00:00', 'UTC'), number % 100, 1, number % 3 = 0 FROM numbers(300)");
        await _server.ExecuteAsync($"INSERT INTO {_database}.r SELECT toDateTime('2026-11-01 01:00:00', 'UTC'), 1000 + number, 1, NULL FROM numbers(10)");
        var model = new SourceModel
        {
            Table = $"{_database}.r", CursorColumn = "ts", KeyColumns = ["k"], VersionColumn = "v", Dedup = Dedup.LimitBy, DeletedColumn = "gone",
        };
        Assert.That((await ReadAsync(model, Slice(Day))).Rows, Is.EqualTo(10), "those whose flag is NULL");
        Assert.That((await _source.CountByHashAsync(model, Day, 1, default)).Sum(bucket => bucket.Rows), Is.EqualTo(10));
    }

    private static Slice Slice(DataInterval range) => new() { Number = 0, Range = range, ExpectedRows = 0 };

    private async Task<RowsRead> ReadAsync(SourceModel model, Slice slice)
    {
        var query = QueryBuilder.Rows(model, await _source.DescribeAsync(model, default), slice);
        await using var reader = await _source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
        var read = new RowsRead([.. reader.Schema.FieldsList.Select(field => field.Name)]);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                read.Add(batch);
            }
        }

        return read;
    }

    private sealed record RowsRead(IReadOnlyList<string> Names)
    {
        public long Rows { get; private set; }

        public Dictionary<string, long> Sums { get; } = [];

        public HashSet<long> Keys { get; } = [];

        public void Add(RecordBatch batch)
        {
            Rows += batch.Length;
            for (var i = 0; i < Names.Count; i++)
            {
                var values = batch.Column(i) switch
                {
                    UInt64Array wide => wide.Values.ToArray().Select(value => (long)value).ToList(),
                    UInt8Array narrow => [.. narrow.Values.ToArray().Select(value => (long)value)],
                    _ => [],
                };
                Sums[Names[i]] = Sums.GetValueOrDefault(Names[i]) + values.Sum();
                if (Names[i] == "k")
                {
                    Keys.UnionWith(values);
                }
            }
        }
    }
}

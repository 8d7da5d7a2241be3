using Apache.Arrow;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>A ReplacingMergeTree whose parts have not merged, under names that are meant to break queries.</summary>
internal sealed class UnmergedRowsTests
{
    private const string Odd = "`we\\`ird \\\\ ; -- ' \" {x:String}`";
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly SourceModel Model = new()
    {
        Table = "we`ird \\ ; -- ' \" {x:String}", CursorColumn = "ts", KeyColumns = ["k`\\ey"], VersionColumn = "v",
    };

    private LocalClickHouse _server = null!;
    private ClickHouseSource _source = null!;
    private string _table = null!;

    [SetUp]
    public async Task MakeTableAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        var connection = await _server.CreateDatabaseAsync();
        _table = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..] + "." + Odd;
        _source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        await _server.ExecuteAsync(
            $"CREATE TABLE {_table} (ts DateTime64(3, 'UTC'), `k\\`\\\\ey` UInt64, v UInt32, p String) ENGINE = ReplacingMergeTree(v) ORDER BY `k\\`\\\\ey`");
        await _server.ExecuteAsync($"SYSTEM STOP MERGES {_table}");
        foreach (var (version, rows) in ((int, int)[])[(2, 1000), (1, 700), (3, 50)])
        {
            await _server.ExecuteAsync(
                $"INSERT INTO {_table} SELECT toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number, number, {version}, '{version}' FROM numbers({rows})");
        }
    }

    [TearDown]
    public void Close() => _source.Dispose();

    [TestCase(Dedup.None, 1750, null)]
    [TestCase(Dedup.DistinctOn, 1000, null)]
    [TestCase(Dedup.LimitBy, 1000, 2050L)]
    [TestCase(Dedup.Final, 1000, 2050L)]
    public async Task Every_key_comes_once_and_in_its_newest_version(Dedup dedup, int rows, long? versions)
    {
        var model = Model with { Dedup = dedup };
        var (count, sum, _) = await ReadAsync(model, [new("k`\\ey", "key"), new("v", "version")]);

        Assert.That(count, Is.EqualTo(rows));
        if (versions is { } expected)
        {
            Assert.That(sum, Is.EqualTo(expected), "50 rows have version 3 and 950 version 2");
        }

        var counted = await _source.CountByHashAsync(model, Interval(), 3, default);
        Assert.That(counted.Sum(bucket => bucket.Rows), Is.EqualTo(rows));
    }

    [Test]
    public async Task An_alias_like_a_column_changes_neither_filter_nor_range_nor_dedup()
    {
        var model = Model with { Dedup = Dedup.LimitBy, Filter = "v > 1 AND p != '1'" };
        var (count, _, _) = await ReadAsync(model, [new("'1'", "p"), new("0", "v"), new("toDateTime('2000-01-01 00:00:00')", "ts"), new("7", "k`\\ey")]);
        Assert.That(count, Is.EqualTo(1000));
    }

    [Test]
    public async Task After_a_sort_batches_stay_small()
    {
        await _server.ExecuteAsync(
            $"INSERT INTO {_table} SELECT toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number / 1000, 10000 + number, 1, repeat('x', 1000) FROM numbers(100000)");
        var (count, _, largest) = await ReadAsync(Model with { Dedup = Dedup.LimitBy }, [new("p", "p"), new("v", "v")]);
        Assert.That(count, Is.EqualTo(101_000));
        Assert.That(largest, Is.LessThanOrEqualTo(8192));
    }

    [TestCase("INSERT INTO {0} SELECT * FROM {0}")]
    [TestCase("ALTER TABLE {0} DELETE WHERE 1")]
    [TestCase("DROP TABLE {0}")]
    public async Task The_source_cannot_write(string statement)
    {
        var query = SourceQuery.Without(string.Format(System.Globalization.CultureInfo.InvariantCulture, statement, _table));
        var error = await Assert.ThrowsAsync<SourceException>(() => _source.ReadAsync(query, Guid.NewGuid().ToString(), "", default));
        // ArrowStream after a statement that has no rows is a syntax error before it is a write.
        Assert.That(error!.Code, Is.EqualTo(164).Or.EqualTo(62));
        Assert.That(await _server.ExecuteAsync($"SELECT count() FROM {_table}"), Is.EqualTo("1750"));
    }

    private static DataInterval Interval() => new(Start, Start.AddDays(1));

    private async Task<(long Rows, long Sum, int Largest)> ReadAsync(SourceModel model, IReadOnlyList<SourceColumn> columns)
    {
        model = model with { Columns = [.. columns.Select(column => column with { Expression = column.Expression == "k`\\ey" ? QueryBuilder.Quote(column.Expression) : column.Expression })] };
        var query = QueryBuilder.Rows(
            model, await _source.DescribeAsync(model, default), new Slice { Number = 0, Range = Interval(), ExpectedRows = 0 });
        await using var reader = await _source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
        var (rows, sum, largest) = (0L, 0L, 0);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                rows += batch.Length;
                largest = Math.Max(largest, batch.Length);
                sum += batch.Column(1) is UInt32Array versions ? versions.Values.ToArray().Sum(version => (long)version) : 0;
            }
        }

        return (rows, sum, largest);
    }
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Sources;

public sealed class QueryBuilderTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 11, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 11, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly SourceModel Events = new()
    {
        Table = "shop.events",
        CursorColumn = "inserted_at",
        KeyColumns = ["team", "id"],
        VersionColumn = "version",
    };

    private static readonly DescribedColumn[] Columns =
    [
        new("`id`", "id", "UUID"),
        new("lower(name)", "name", "LowCardinality(Nullable(String))"),
        new("`n`", "n", "UInt64"),
    ];

    [Test]
    public void A_slice_is_a_half_open_range_of_the_raw_cursor_column()
    {
        var query = QueryBuilder.Rows(Events, Columns, Slice());
        Assert.That(query.Sql, Is.EqualTo(
            """
            SELECT
              CAST(__export_0, 'String') AS `id`,
              CAST(__export_1, 'Nullable(String)') AS `name`,
              __export_2 AS `n`
            FROM (
              SELECT
                (`id`) AS __export_0,
                (lower(name)) AS __export_1,
                (`n`) AS __export_2
              FROM `shop`.`events`
              WHERE `inserted_at` >= {from:DateTime64(9, 'UTC')} AND `inserted_at` < {to:DateTime64(9, 'UTC')}
            )
            """));
        Assert.That(query.Parameters, Is.EquivalentTo(new Dictionary<string, string>
        {
            ["from"] = "2026-11-01 00:00:00.000000000",
            ["to"] = "2026-11-02 00:00:00.000000000",
        }));
    }

    [Test]
    public void A_hash_bucket_dedup_and_filter_stand_where_ClickHouse_applies_them_in_order()
    {
        var model = Events with { Dedup = Dedup.LimitBy, Filter = "kind = 'a' OR kind = 'b'" };
        var query = QueryBuilder.Rows(model, Columns, Slice() with { HashBucket = 2, HashBuckets = 8 });
        Assert.That(query.Sql, Does.EndWith(
            """
              FROM `shop`.`events`
              WHERE `inserted_at` >= {from:DateTime64(9, 'UTC')} AND `inserted_at` < {to:DateTime64(9, 'UTC')}
                AND (kind = 'a' OR kind = 'b')
                AND cityHash64(tuple(`team`, `id`)) % {hash_buckets:UInt32} = {hash_bucket:UInt32}
              ORDER BY `version` DESC
              LIMIT 1 BY `team`, `id`
            )
            """));
        Assert.That(query.Parameters["hash_buckets"], Is.EqualTo("8"));
        Assert.That(query.Parameters["hash_bucket"], Is.EqualTo("2"));
    }

    [Test]
    public void Final_and_distinct_on_are_ClickHouses_own()
    {
        Assert.That(QueryBuilder.Rows(Events with { Dedup = Dedup.Final }, Columns, Slice()).Sql, Does.Contain("FROM `shop`.`events` FINAL\n"));
        Assert.That(
            QueryBuilder.Rows(Events with { Dedup = Dedup.DistinctOn }, Columns, Slice()).Sql,
            Does.Contain("SELECT DISTINCT ON (`team`, `id`)\n"));
    }

    [Test]
    public void Counting_by_cursor_counts_rows_or_keys()
    {
        var query = QueryBuilder.CountByCursor(Events, Day, TimeSpan.FromMinutes(1));
        Assert.That(query.Sql, Is.EqualTo(
            """
            SELECT intDiv(toUnixTimestamp64Nano(toDateTime64(`inserted_at`, 9, 'UTC')) - toUnixTimestamp64Nano({from:DateTime64(9, 'UTC')}), {width:Int64}) AS __export_bucket, toInt64(count()), sum(cityHash64(tuple(`team`, `id`, `version`)))
            FROM `shop`.`events`
            WHERE `inserted_at` >= {from:DateTime64(9, 'UTC')} AND `inserted_at` < {to:DateTime64(9, 'UTC')}
            GROUP BY __export_bucket
            ORDER BY __export_bucket
            """));
        Assert.That(query.Parameters["width"], Is.EqualTo("60000000000"));
        Assert.That(
            QueryBuilder.CountByHash(Events with { Dedup = Dedup.DistinctOn }, Day, 16).Sql,
            Does.Contain("cityHash64(tuple(`team`, `id`)) AS __export_key_hash\n").And.Contain("GROUP BY __export_bucket, `team`, `id`\n"));
        Assert.That(
            QueryBuilder.CountByHash(Events with { Dedup = Dedup.LimitBy }, Day, 16).Sql,
            Does.Contain("cityHash64(tuple(`team`, `id`, max(`version`))) AS __export_key_hash\n"), "the newest version is the one that is exported");
    }

    [Test]
    public void The_hash_of_a_row_is_the_same_where_rows_are_read_and_where_they_are_counted()
    {
        foreach (var dedup in Enum.GetValues<Dedup>())
        {
            var expected = dedup == Dedup.DistinctOn ? "cityHash64(tuple(`team`, `id`))" : "cityHash64(tuple(`team`, `id`, `version`))";
            Assert.That(QueryBuilder.Rows(Events with { Dedup = dedup }, Columns, Slice(), keyHash: true).Sql, Does.Contain($"  {expected} AS __export_key_hash\n"));
        }

        var keyless = Events with { KeyColumns = [], VersionColumn = null };
        Assert.That(QueryBuilder.CountSlice(keyless, Slice()).Sql, Does.Contain("sum(cityHash64(tuple(`inserted_at`)))"));
    }

    [Test]
    public void Names_cannot_leave_their_quotes()
    {
        Assert.That(QueryBuilder.Quote("a`b\\c"), Is.EqualTo("`a\\`b\\\\c`"));
        Assert.That(QueryBuilder.DescribeTable(Events with { Table = "x` WHERE 1" }).Sql, Is.EqualTo("DESCRIBE (SELECT * FROM `x\\` WHERE 1`)"));
    }

    [TestCase("1) OR (1")]
    [TestCase("a = 'x")]
    [TestCase("a = 1; DROP TABLE t")]
    [TestCase("a = 1 -- rest")]
    [TestCase("a = 1 /* rest")]
    [TestCase("a = 1 # rest")]
    [TestCase("a IN (SELECT 1 SETTINGS readonly = 0)")]
    [TestCase("a = 1 format CSV")]
    [TestCase("a IN (1, 2")]
    [TestCase("a = [1)")]
    [TestCase("a = {x:String}")]
    [TestCase("a = $$x$$")]
    [TestCase("a = ‘x’")]
    [TestCase("a = 'x\\'")]
    [TestCase(" ")]
    public void A_filter_that_could_break_out_is_refused(string filter)
    {
        var error = Assert.Throws<UserErrorException>(() => QueryBuilder.Rows(Events with { Filter = filter }, Columns, Slice()));
        Assert.That(error!.Setting, Is.EqualTo("filter"));
    }

    [TestCase("a = 'it''s' AND b = 'x\\'; --'")]
    [TestCase("format('{}', a) = 'ä' AND `settings` = \"b\"")]
    [TestCase("has([1, 2], (a)) AND a - 1 > b / 2")]
    public void A_filter_that_is_one_expression_is_taken_as_it_is(string filter) =>
        Assert.That(QueryBuilder.DescribeFilter(Events with { Filter = filter }).Sql, Does.EndWith($"WHERE ({filter}))"));

    [TestCase("UInt64", "c")]
    [TestCase("DateTime", "CAST(c, 'DateTime64(0, \\'UTC\\')')")]
    [TestCase("DateTime('Europe/Berlin')", "CAST(c, 'DateTime64(0, \\'UTC\\')')")]
    [TestCase("Nullable(DateTime64(6))", "CAST(c, 'Nullable(DateTime64(6, \\'UTC\\'))')")]
    [TestCase("LowCardinality(Nullable(String))", "CAST(c, 'Nullable(String)')")]
    [TestCase("Enum8('a, (b' = 1, 'it\\'s)' = 2)", "CAST(c, 'String')")]
    [TestCase("Array(Nullable(UUID))", "CAST(c, 'Array(Nullable(String))')")]
    [TestCase("Decimal(38, 9)", "c")]
    [TestCase("Decimal(76, 9)", "CAST(c, 'String')")]
    [TestCase("Map(String, Array(UInt8))", "toJSONString(c)")]
    [TestCase("Array(Tuple(a UInt8, b String))", "toJSONString(c)")]
    [TestCase("JSON(a UInt8)", "toJSONString(c)")]
    [TestCase("SimpleAggregateFunction(max, IPv6)", "CAST(c, 'String')")]
    public void What_Arrow_would_lose_is_cast(string type, string expected) =>
        Assert.That(ColumnCast.Apply("c", type), Is.EqualTo(expected));

    private static Slice Slice() => new() { Number = 0, Range = Day, ExpectedRows = 1 };
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>Which rows a model's conditions let through, on a real table, with values that are meant to break them.</summary>
internal sealed class RowFilterTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    // What stands in the column nasty, one in each row.
    private static readonly string[] Nasty =
    [
        "it's", "back\\slash", "tab\there", "line\nfeed", "zero\0byte", "') OR 1=1 --", "{x:String}", "[1,2]", "'", "\\", "\\'", "", " ", "é✓😀", "NULL", "\r\b\f\v", "%_", "\\N", "a,b", "\"q\"",
    ];

    private string _table = null!;
    private ClickHouseSource _source = null!;

    [OneTimeSetUp]
    public async Task MakeTableAsync()
    {
        var server = await TestServers.ClickHouseAsync();
        var connection = await server.CreateDatabaseAsync();
        _table = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..] + ".t";
        _source = new ClickHouseSource(new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        await server.ExecuteAsync(
            $"""
            CREATE TABLE {_table} (ts DateTime64(6, 'UTC'), id UInt32, name LowCardinality(String), opt Nullable(String), day Date, u UUID, flag Bool,
              kind Enum8('a' = 1, 'b' = 2), amount Decimal(10, 2), props String, doc JSON, maybe Nullable(String), nasty String)
            ENGINE = MergeTree ORDER BY (id, ts)
            """);
        const string Props = """concat('{"plan":"', ['free', 'Pro', 'team'][number % 3 + 1], '","n":', toString(number), ',"nil":null,"deep":{"on":', if(number % 2 = 0, 'true', 'false'), '},"a.b":"dot",', if(number % 4 = 0, '"seen":"2026-11-0' || toString(number % 5 + 1) || 'T00:00:00Z",', ''), '"text":"x', toString(number), '"}')""";
        await server.ExecuteAsync(
            $"""
            INSERT INTO {_table} SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + number, number, ['x', 'y'][number % 2 + 1], if(number % 2 = 0, NULL, 'odd'),
              toDate('2026-11-01') + number % 3, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), number % 2 = 0, if(number % 2 = 0, 'a', 'b'), number,
              {Props}, {Props}, if(number % 3 = 0, NULL, {Props}), unhex(['{string.Join("','", Nasty.Select(text => Convert.ToHexString(System.Text.Encoding.UTF8.GetBytes(text))))}'][number % {Nasty.Length} + 1]) FROM numbers(100)
            """);
    }

    [OneTimeTearDown]
    public void Close() => _source.Dispose();

    [TestCase("name", "x", 50)]
    [TestCase("id", "3|7|1000", 2)]
    [TestCase("day", "2026-11-01", 34)]
    [TestCase("u", "61f0c404-5cb3-11e7-907b-a6006ad3dba0", 100)]
    [TestCase("flag", "true", 50)]
    [TestCase("kind", "a", 50)]
    [TestCase("amount", "7.00", 1)]
    [TestCase("opt", "odd", 50)]
    public async Task Values_are_read_as_the_columns_type(string column, string values, int rows)
    {
        ColumnValues[] wanted = [new(column, values.Split('|'))];
        Assert.That(await CountAsync(Model with { Include = wanted }), Is.EqualTo(rows));
        Assert.That(await CountAsync(Model with { Exclude = wanted }), Is.EqualTo(100 - rows), "rows with NULL stay");
    }

    [Test]
    public async Task A_value_is_itself_whatever_stands_in_it()
    {
        foreach (var (text, index) in Nasty.Select((text, index) => (text, index)))
        {
            var expected = 100 / Nasty.Length;
            Assert.That(await CountAsync(Model with { Include = [new("nasty", [text])] }), Is.EqualTo(expected), $"include {index}");
            Assert.That(
                await CountAsync(Model with { Where = [new() { Column = "nasty", Operator = PropertyOperator.Equals, Values = [text] }] }), Is.EqualTo(expected), $"where {index}");
            Assert.That(
                await CountAsync(Model with { Where = [new() { Column = "props", Path = [text], Operator = PropertyOperator.Set }] }), Is.Zero, $"path {index}");
            Assert.That(
                await CountAsync(Model with { Where = [new() { Column = "nasty", Operator = PropertyOperator.Contains, Values = [text + "no such text"] }] }), Is.Zero, $"contains {index}");
        }

        Assert.That(await CountAsync(Model with { Include = [new("nasty", Nasty)] }), Is.EqualTo(100));
    }

    [TestCase("plan equals free", 34)]
    [TestCase("plan equals pro", 0)]
    [TestCase("plan not_equals free", 66)]
    [TestCase("plan in free, team", 67)]
    [TestCase("plan not_in free, team", 33)]
    [TestCase("plan contains pRO", 33)]
    [TestCase("plan not_contains RE, EA", 33)]
    [TestCase("plan regex ^(Pro|team)$", 66)]
    [TestCase("plan not_regex ^P", 67)]
    [TestCase("plan set", 100)]
    [TestCase("nil set", 0)]
    [TestCase("nil not_set", 100)]
    [TestCase("nil equals null", 0)]
    [TestCase("none not_set", 100)]
    [TestCase("none not_equals x", 100)]
    [TestCase("none not_contains x", 100)]
    [TestCase("none not_regex x", 100)]
    [TestCase("none equals \"\"", 0)]
    [TestCase("n greater 97", 2)]
    [TestCase("n greater_or_equal 97", 3)]
    [TestCase("n less 1.5", 2)]
    [TestCase("n less_or_equal 1e0", 2)]
    [TestCase("n equals 7", 1)]
    [TestCase("text greater 0", 0)]
    [TestCase("seen greater 2026-11-04T12:00:00Z", 5)]
    [TestCase("seen less_or_equal 2026-11-02", 10)]
    [TestCase("deep.on equals true", 50)]
    [TestCase("deep contains \"on\"", 100)]
    [TestCase("text regex \"^x9\\\\d$\"", 10)]
    public async Task Properties_are_compared_alike_in_text_and_in_JSON(string condition, int rows)
    {
        Assert.That(await CountAsync(Model with { Where = [ConditionText.Condition("props." + condition)] }), Is.EqualTo(rows), "String");
        Assert.That(await CountAsync(Model with { Where = [ConditionText.Condition("doc." + condition)] }), Is.EqualTo(rows), "JSON");
    }

    [TestCase("maybe.plan not_equals Pro", 67)]
    [TestCase("maybe.plan set", 66)]
    [TestCase("maybe.plan not_set", 34)]
    [TestCase("maybe.n greater 50", 32)]
    [TestCase("opt set", 50)]
    [TestCase("opt not_set", 50)]
    [TestCase("opt not_equals odd", 50)]
    [TestCase("id less 10", 10)]
    [TestCase("ts greater_or_equal 2026-11-01T00:01:30Z", 10)]
    [TestCase("props.\"a.b\" equals dot", 100)]
    public async Task A_column_that_is_null_has_no_properties_and_no_text(string condition, int rows) =>
        Assert.That(await CountAsync(Model with { Where = [ConditionText.Condition(condition)] }), Is.EqualTo(rows));

    // Keys that differ in their last digit are one double.
    [TestCase("p.k greater 9007199254741042", 49)]
    [TestCase("p.k less_or_equal 9007199254741043", 52)]
    [TestCase("p.k greater_or_equal 9007199254741091", 1)]
    [TestCase("p.minus less -9007199254741089", 2)]
    [TestCase("p.part greater 98", 2)]
    public async Task Whole_numbers_are_compared_to_their_last_digit(string condition, int rows) => Assert.That(
        await CountAsync(Model with
        {
            Table = null,
            Query = $"SELECT ts, id, concat('{{\"k\":', toString(9007199254740992 + id), ',\"minus\":-', toString(9007199254740992 + id), ',\"part\":', toString(id), '.5}}') AS p FROM {_table}",
            Where = [ConditionText.Condition(condition)],
        }),
        Is.EqualTo(rows));

    [Test]
    public async Task All_conditions_hold_together()
    {
        var model = Model with
        {
            Include = [new("name", ["x"])],
            Exclude = [new("id", ["2", "4"])],
            Where = [ConditionText.Condition("props.n less 10"), ConditionText.Condition("doc.plan set")],
            Filter = "id != 6 OR 0",
        };
        Assert.That(await CountAsync(model), Is.EqualTo(2), "0 and 8");
        Assert.That((await _source.DescribeAsync(model, default)).Select(column => column.Alias), Does.Contain("props"));
    }

    [Test]
    public void What_ClickHouse_does_not_understand_names_its_setting()
    {
        Assert.That(() => _source.DescribeAsync(Model with { Include = [new("missing", ["x"])] }, default), Setting("include"));
        Assert.That(() => _source.DescribeAsync(Model with { Include = [new("id", ["x"])] }, default), Setting("include"));
        Assert.That(() => _source.DescribeAsync(Model with { Exclude = [new("day", ["someday"])] }, default), Setting("exclude"));
        Assert.That(() => _source.DescribeAsync(Model with { Where = [ConditionText.Condition("missing.x set")] }, default), Setting("where"));
        Assert.That(() => _source.DescribeAsync(Model with { Where = [ConditionText.Condition("props.x regex a(b")] }, default), Setting("where"));
        Assert.That(() => _source.DescribeAsync(Model with { DeletedColumn = "name", Deleted = DeletedRows.Keep }, default), Setting("deleted_column"));
        Assert.That(() => _source.DescribeAsync(Model with { Table = null, Query = "SELECT nothing FROM t" }, default), Setting("query"));
        Assert.That(() => _source.DescribeAsync(Model with { Table = null, Query = "SELECT 1 AS ts" }, default), Setting("cursor_column"));
    }

    private SourceModel Model => new() { Table = _table, CursorColumn = "ts", KeyColumns = ["id"] };

    private async Task<long> CountAsync(SourceModel model) =>
        (await _source.CountByHashAsync(model, new DataInterval(Start, Start.AddDays(1)), 1, default)).Sum(bucket => bucket.Rows);

    private static NUnit.Framework.Constraints.IResolveConstraint Setting(string name) =>
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(name);
}

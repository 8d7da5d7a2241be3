using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Sources;

/// <summary>What a user writes as SQL stays where it is put, cannot write, and reads from nowhere but ClickHouse's tables.</summary>
internal sealed class HostileSqlTests
{
    private const string Sentinel = "WHERE sentinel = 1";

    private static readonly string[] Hostile =
    [
        // Out of the parentheses.
        "1) OR (1", "1)) UNION ALL SELECT (1", "1) FROM system.users WHERE (1", "a = [1)", "a IN (1, 2", "]", ")", "(((", "a[1",
        "a = 'x", "a = 'x\\'", "a = \"x", "a = `x", "a = 'it''s", "'\\\\\\'", "a = 'x' || '\\",

        // Another statement.
        "a = 1; DROP TABLE t", "1;", ";", "1 ;\n SYSTEM SHUTDOWN", "1); INSERT INTO t VALUES (1",

        // Comments, which hide the rest of the query.
        "a = 1 -- rest", "a = 1 --", "a = 1 /* rest", "/* */ 1", "a = 1 # rest", "a = 1 #! rest", "a = 1 // rest", "1 --\n", "1 - -- 1\n",

        // Clauses that only a whole query may have.
        "a IN (SELECT 1 SETTINGS readonly = 0)", "1 settings max_memory_usage = 0", "a = 1 format CSV", "1 FORMAT Null", "1 INTO OUTFILE '/tmp/x'",
        "1 into outfile '/tmp/x'", "a IN (SELECT 1 INTO OUTFILE '/tmp/x')", "1\tSeTtInGs\nreadonly=0",

        // Writing.
        "(WITH x AS (SELECT 1) INSERT INTO t SELECT 1)", "insert into t select 1", "(INSERT INTO FUNCTION file('x') SELECT 1)",

        // Parameters, heredocs, look-alikes.
        "a = {x:String}", "a = {interval_start:DateTime}", "a = $$x$$", "a = $x$ ' $x$", "a = ‘x’", "a\u00a0= 1", "a = 1 \u2014 2", "a = 1\0", "ａ = 1", "a = 1\v",

        // Reaching out.
        "a IN (SELECT * FROM url('http://10.0.0.1/', 'TSV', 'x String'))", "a IN (SELECT * FROM URL ('http://10.0.0.1/', 'TSV', 'x String'))",
        "a IN (SELECT * FROM `url`('http://10.0.0.1/', 'TSV', 'x String'))", "a IN (SELECT * FROM \"url\" ('http://x/'))",
        "a IN (SELECT * FROM `\\x75rl`('http://x/'))", "a IN (SELECT * FROM s3('https://b.s3.amazonaws.com/x'))", "a IN (SELECT * FROM s3Cluster('c', 'x'))",
        "a IN (SELECT * FROM remote('10.0.0.1', system.one))", "a IN (SELECT * FROM remoteSecure\n('10.0.0.1', system.one))",
        "a IN (SELECT * FROM file('/etc/passwd', 'LineAsString'))", "file('/etc/passwd') = a", "`file`('/etc/passwd') = a", "a = FILE('x')",
        "a IN (SELECT * FROM '/etc/passwd')", "a IN (SELECT * FROM t JOIN '/etc/passwd' USING x)",
        "a IN (SELECT * FROM executable('x.sh', 'TSV', 'x String'))", "a IN (SELECT * FROM mysql('h:3306', 'd', 't', 'u', 'p'))",
        "a IN (SELECT * FROM postgresql('h:5432', 'd', 't', 'u', 'p'))", "a IN (SELECT * FROM mongodb('x'))", "a IN (SELECT * FROM odbc('x', 'y'))",
        "a IN (SELECT * FROM jdbc('x', 'y'))", "a IN (SELECT * FROM sqlite('x', 'y'))", "a IN (SELECT * FROM redis('x', 'y', 'z'))",
        "a IN (SELECT * FROM hdfs('x'))", "a IN (SELECT * FROM azureBlobStorage('x'))", "a IN (SELECT * FROM iceberg('x'))", "a IN (SELECT * FROM deltaLake('x'))",
        "a IN (SELECT * FROM gcs('x'))", "a IN (SELECT * FROM loop(url('x')))", "a IN (SELECT * FROM cluster('c', url('x')))", "a IN (SELECT * FROM eval('SELECT 1'))",
        "aiGenerate('x') = a", "catboostEvaluate('/etc/x', 1) = a", "a IN (SELECT 1, (SELECT * FROM numbers(1), url('x')))",

        // Nothing.
        "", " ", "\n",
    ];

    // What ClickHouse has beside those: they read the server's own tables, or nothing at all.
    private static readonly string[] HarmlessTableFunctions =
    [
        "cluster", "clusterAllReplicas", "dictionary", "format", "fuzzJSON", "fuzzQuery", "generateRandom", "generateSeries", "generate_series", "loop", "merge",
        "mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexesUUID", "mergeTreeIndex", "mergeTreeProjection", "mergeTreeTextIndex", "null", "numbers",
        "numbers_mt", "primes", "prometheusQuery", "prometheusQueryRange", "SQLStandardValues", "timeSeriesData", "timeSeriesMetrics", "timeSeriesSamples",
        "timeSeriesSelector", "timeSeriesTags", "values", "view", "viewExplain", "viewIfPermitted", "zeros", "zeros_mt",
    ];

    private static readonly Gen<string> Texts = OneOf(
        "a", "1", "0", "'x'", "'it''s'", "\"b\"", "`c`", "(", ")", "(", ")", "[", "]", ",", ".", "=", "+", "-", "--", "/", "*", "/*", "*/", "#", "//", ";", "\\", "'", "\"", "`",
        " ", " ", "\n", "\t", "\0", "{", "}", "$$", "$x$", "?", "::", "AND", "OR", "NOT", "IN", "SELECT", "SELECT 1", "FROM", "FROM t", "WHERE", "AS", "UNION ALL",
        "WITH x AS", "INSERT INTO t", "INTO OUTFILE 'x'", "FORMAT CSV", "format", "SETTINGS readonly=0", "LIMIT 1", "url('x')", "file", "\\'", "é", "count()", "t",
        "INTERSECT", "EXCEPT", "PARALLEL WITH", "CASE", "WHEN", "END", "->", "x", "NULL", "EXPLAIN", "\\x27", "''", "''''", "b'1'", "x'27'", "0x", "\u2019", "\u00a0")
        .Array[0, 9].Select(parts => string.Join("", parts));

    [TestCaseSource(nameof(Hostile))]
    public void What_breaks_out_writes_or_reaches_out_is_refused_wherever_it_stands(string text)
    {
        var model = new SourceModel { Table = "t", CursorColumn = "ts" };
        DescribedColumn[] columns = [new("a", "a", "String")];
        var slice = new Slice { Number = 0, Range = new(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1)), ExpectedRows = 0 };
        Assert.That(() => QueryBuilder.Rows(model with { Filter = text }, columns, slice), Refused("filter"));
        Assert.That(() => QueryBuilder.Rows(model, [new(text, "a", "String")], slice), Refused("columns"));
        if (text.Contains("interval_start", StringComparison.Ordinal))
        {
            return;
        }

        Assert.That(() => QueryBuilder.Rows(model with { Table = null, Query = "SELECT * FROM t WHERE " + text }, columns, slice), text.Trim().Length > 0 ? Refused("query") : Throws.Nothing);
    }

    [TestCase("DROP TABLE t")]
    [TestCase("INSERT INTO t SELECT 1")]
    [TestCase("ALTER TABLE t DELETE WHERE 1")]
    [TestCase("SYSTEM SHUTDOWN")]
    [TestCase("EXPLAIN SELECT 1")]
    [TestCase("SHOW TABLES")]
    [TestCase("(SELECT 1)")]
    [TestCase("t")]
    [TestCase("SELECT 1 FROM t WHERE ts > {from:DateTime}")]
    [TestCase("SELECT 1 FROM t WHERE ts > {interval_start:String}")]
    [TestCase("SELECT 1 FROM t WHERE ts > {interval_start:DateTime64(6), x}")]
    [TestCase("SELECT 1 FROM t WHERE ts > {interval_start:DateTime('UTC') -- }")]
    [TestCase("SELECT 1 FROM t WHERE ts > {interval_start}")]
    [TestCase("SELECT 1 FROM t WHERE ts > {interval_start:DateTime")]
    public void What_is_not_one_select_with_known_parameters_is_no_query(string query) =>
        Assert.That(() => SqlFragment.CheckQuery("query", query), Refused("query"));

    [TestCase("SELECT `format`, `settings`, \"into\" FROM t")]
    [TestCase("select a from t where url = 'http://x/;--' and file != 'x'")]
    [TestCase("SELECT remote, s3 FROM db.url AS file")]
    [TestCase("WITH x AS (SELECT 1 AS a) SELECT format('{}', a) FROM x")]
    [TestCase("\n SELECT trim(BOTH ' ' FROM a) FROM t UNION ALL SELECT b FROM cluster('c', db.t)")]
    public void What_only_looks_like_it_is_taken_as_it_is(string query) => Assert.That(SqlFragment.CheckQuery("query", query), Is.EqualTo(query));

    [Test]
    public void Interval_parameters_keep_the_type_that_was_asked_for() => Assert.That(
        SqlFragment.CheckQuery("query", "SELECT 1 WHERE a >= {interval_start:DateTime64(6, 'UTC')} AND b < { interval_end : Date }"),
        Is.EqualTo("SELECT 1 WHERE a >= CAST({interval_start:DateTime64(9, 'UTC')}, 'DateTime64(6, \\'UTC\\')') AND b < CAST({interval_end:DateTime64(9, 'UTC')}, 'Date')"));

    [Test]
    public async Task Whatever_is_accepted_stays_inside_its_parentheses_as_ClickHouse_reads_them()
    {
        // That this can be seen at all: a comment that is not refused hides what follows.
        Assert.That(await ReadAsync(["SELECT (1) FROM t -- ) FROM t " + Sentinel]), Has.None.EndsWith(Sentinel));

        var (accepted, read) = (0, 0);
        await Check.SampleAsync(
            Texts.Array[2000],
            async texts =>
            {
                var expressions = texts.Where(text => Accepts(() => SqlFragment.Check("filter", text))).Select(text => $"SELECT ({text}) FROM t {Sentinel}");
                var queries = texts.Select(text => "SELECT " + text).Where(text => Accepts(() => SqlFragment.CheckQuery("query", text)))
                    .Select(text => $"SELECT count() FROM (\n{text}\n) AS q {Sentinel}");
                var all = expressions.Concat(queries).ToList();
                accepted += all.Count;
                foreach (var formatted in await ReadAsync(all))
                {
                    read++;
                    Assert.That(formatted, Does.EndWith(Sentinel));
                }
            },
            iter: 25,
            threads: 1);
        Assert.That(accepted, Is.GreaterThan(5000));
        Assert.That(read, Is.GreaterThan(1000), "of those that were accepted, ClickHouse understands some");
    }

    [Test]
    public async Task Every_table_function_of_ClickHouse_is_refused_or_known_to_be_harmless()
    {
        var server = await TestServers.ClickHouseAsync();
        var all = (await server.ExecuteAsync("SELECT name FROM system.table_functions")).Split('\n');
        Assert.That(all.Where(name => !ReachingFunctions.Has(name)), Is.EquivalentTo(HarmlessTableFunctions), "a new one wants a decision");
    }

    private static Gen<string> OneOf(params string[] values) => Gen.Int[0, values.Length - 1].Select(index => values[index]);

    private static bool Accepts(Func<string> check)
    {
        try
        {
            check();
            return true;
        }
        catch (UserErrorException)
        {
            return false;
        }
    }

    // What ClickHouse's parser makes of texts, of those that it understands.
    private static async Task<IEnumerable<string>> ReadAsync(IReadOnlyList<string> queries)
    {
        var server = await TestServers.ClickHouseAsync();
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = server.ConnectionString }, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<ClickHouseSource>.Instance);
        var read = new List<string>();
        foreach (var some in queries.Chunk(400))
        {
            read.AddRange((await source.AskAsync(
                new SourceQuery(
                    "SELECT arrayJoin(arrayFilter(q -> q != '', arrayMap(q -> ifNull(formatQuerySingleLineOrNull(q), ''), {queries:Array(String)})))",
                    new Dictionary<string, string> { ["queries"] = SourceQuery.Texts(some) }),
                default)).Select(row => row[0]));
        }

        return read;
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Refused(string setting) =>
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting);
}

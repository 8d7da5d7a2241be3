namespace Exporter.Exports.Tests.Cli;

/// <summary>
/// Whatever is asked for wrongly: the exit status that docs/cli.md promises, one line on standard error that names what to
/// change, nothing on standard output, and nothing left in the database.
/// </summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class BadInputTests
{
    private const string Nobody = "019ab3c4-0000-7000-8000-000000000000";
    private const string Create = "export create e2 --destination files --table events --cursor-column at";

    // What a command could leave behind.
    private const string Counts =
        """
        select concat_ws(' ', (select count(*) from exports.destinations), (select count(*) from exports.batch_exports), (select count(*) from exports.backfills),
          (select count(*) from exports.runs), (select count(*) from exports.audit_log), (select count(*) from engine.schedules), (select count(*) from engine.runs))
        """;

    private CliServers _servers = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(10);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
        _ = (await _servers.Cli.RunAsync("destination", "create", "files", "files", "--root", _servers.Root)).Answer;
        _ = (await _servers.Cli.RunAsync(
            "export", "create", "events", "--destination", "files", "--table", "events", "--cursor-column", "at", "--every", "1h", "--paused")).Answer;
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await (_servers?.DisposeAsync() ?? ValueTask.CompletedTask);

    // Formats: what does not go together, said with what would.
    [TestCase(Create + " --every 1h --format csv --compression snappy", 2, "compression: csv cannot be compressed with snappy. Use zstd, gzip, lz4, brotli or none.")]
    [TestCase(Create + " --every 1h --format arrow --compression gzip", 2, "Use zstd, lz4 or none.")]
    [TestCase(Create + " --every 1h --compression gzip --compression-level 10", 2, "compression_level is 10.")]
    [TestCase(Create + " --every 1h --page-size 1KiB", 2, "page_bytes is 1024.")]
    [TestCase(Create + " --every 1h --format csv --row-group-rows 5000", 2, "--row-group-rows has no meaning with --format csv.")]
    [TestCase(Create + " --every 1h --csv-null NULL", 2, "--csv-null has no meaning with --format parquet.")]
    [TestCase(Create + " --every 1h --format csv --csv-delimiter ab", 2, "csv_delimiter is \"ab\".")]
    // Names that are not there.
    [TestCase("destination show nowhere", 2, "nowhere")]
    [TestCase("destination test nowhere", 2, "nowhere")]
    [TestCase("destination delete nowhere", 2, "nowhere")]
    [TestCase("export create e2 --destination nowhere --table events --cursor-column at --every 1h", 2, "nowhere")]
    [TestCase("export show nothing", 2, "nothing")]
    [TestCase("export run nothing", 2, "nothing")]
    [TestCase("export pause nothing", 2, "nothing")]
    [TestCase("export unpause nothing", 2, "nothing")]
    [TestCase("export delete nothing", 2, "nothing")]
    [TestCase("backfill create nothing --start 2026-03-01T00:00Z --end 2026-03-01T04:00Z", 2, "nothing")]
    [TestCase("backfill list --export nothing", 2, "nothing")]
    [TestCase("run list --export nothing", 2, "nothing")]
    [TestCase("backfill show " + Nobody, 2, Nobody)]
    [TestCase("backfill cancel " + Nobody, 2, Nobody)]
    [TestCase("run show " + Nobody, 2, Nobody)]
    [TestCase("run logs " + Nobody, 2, Nobody)]
    [TestCase("run cancel " + Nobody, 2, Nobody)]
    [TestCase("run retry " + Nobody, 2, Nobody)]
    [TestCase("run show 17", 2, "\"17\" is no id")]
    [TestCase("backfill show 17", 2, "\"17\" is no id")]

    // Names that are taken.
    [TestCase("destination create files files --root {root}", 2, "files")]
    [TestCase("export create events --destination files --table events --cursor-column at --every 1h", 2, "events")]
    [TestCase("destination delete files", 2, "events")]

    // Schedules.
    [TestCase(Create + " --cron \"61 * * * *\"", 2, "61 * * * *")]
    [TestCase(Create + " --cron often", 2, "often")]
    [TestCase(Create + " --cron \"0 6 * * *\" --time-zone Europe/Atlantis", 2, "Europe/Atlantis")]
    [TestCase(Create + " --every soon", 2, "--every")]
    [TestCase(Create + " --every 1h --cron \"0 6 * * *\"", 2, "every")]
    [TestCase(Create, 2, "every")]

    // Times and ranges.
    [TestCase("backfill create events --start 2026-03-01T04:00Z --end 2026-03-01T00:00Z", 2, "not after the start")]
    [TestCase("backfill create events --start yesterday --end 2026-03-01T00:00Z", 2, "--start")]
    [TestCase("backfill create events --start 2026-03-01T00:00Z --end 2026-02-30", 2, "--end")]
    [TestCase("backfill create events --start 2026-03-01T00:00Z", 2, "--end")]
    [TestCase("backfill create events --start 2026-03-01T00:30Z --end 2026-03-01T04:00Z", 2, "2026-03-01")]
    [TestCase("backfill create events --start 2026-03-01T00:00Z --end 2926-03-01T04:00Z", 2, "end")]
    [TestCase("backfill create events --start 2026-03-01T00:00Z --end 2026-03-01T04:00Z --parallel 1000", 2, "parallel")]
    [TestCase("backfill create events --start 2026-03-01T00:00Z --end 2026-03-01T04:00Z --parallel many", 2, "--parallel")]
    [TestCase("export run events --start 2026-03-01T01:00Z --end 2026-03-01T00:00Z", 2, "not after the start")]
    [TestCase("export run events --start 2026-03-01T01:00Z", 2, "--end")]
    [TestCase("export run events --start 01.03.2026 --end 02.03.2026", 2, "--start")]
    [TestCase("export run events --start 2026-03-01T00:10Z --end 2026-03-01T00:20Z", 2, "2026-03-01")]

    // A wrong range is said before the export is looked for.
    [TestCase("backfill create nothing --start 2026-03-01T04:00Z --end 2026-03-01T00:00Z", 2, "not after the start")]
    [TestCase("export run nothing --start 2026-03-01T04:00Z --end 2026-03-01T00:00Z", 2, "not after the start")]
    [TestCase("export run nothing --start 2026-03-01T04:00Z", 2, "--end")]

    // The source.
    [TestCase("export create e2 --destination files --table nowhere --cursor-column at --every 1h", 2, "nowhere")]
    [TestCase("export create e2 --destination files --table events --cursor-column nowhen --every 1h", 2, "nowhen")]
    [TestCase(Create + " --every 1h --key nokey --dedup limit_by", 2, "nokey")]
    [TestCase(Create + " --every 1h --column nocolumn", 2, "nocolumn")]
    [TestCase(Create + " --every 1h --filter \"noname = 1\"", 2, "noname")]
    [TestCase("export create e2 --destination files --table events --cursor-column text --every 1h", 2, "text")]
    [TestCase(Create + " --every 1h --format xml", 2, "--format")]
    [TestCase(Create + " --every 1h --slice-size big", 2, "--slice-size")]
    [TestCase(Create + " --every 1h --parallel-slices few", 2, "--parallel-slices")]

    // Models.
    [TestCase(Create + " --every 1h --query \"SELECT 1\"", 2, "table, query")]
    [TestCase("export create e2 --destination files --query \"DROP TABLE events\" --cursor-column at --every 1h", 2, "SELECT or WITH")]
    [TestCase("export create e2 --destination files --query \"SELECT * FROM url('http://x')\" --cursor-column at --every 1h", 2, "url()")]
    [TestCase("export create e2 --destination files --query \"SELECT nothing FROM events\" --cursor-column at --every 1h", 2, "nothing")]
    [TestCase("export create e2 --destination files --query-file {root}/missing.sql --cursor-column at --every 1h", 2, "missing.sql")]
    [TestCase("export create e2 --destination files --table events --every 1h", 2, "--cursor-column")]
    [TestCase("export create e2 --destination files --preset clicks --every 1h", 2, "events, persons, sessions")]
    [TestCase(Create + " --every 1h --filter \"1; DROP TABLE events\"", 2, "';'")]
    [TestCase(Create + " --every 1h --include text", 2, "column=value")]
    [TestCase(Create + " --every 1h --include nocolumn=1", 2, "nocolumn")]
    [TestCase(Create + " --every 1h --exclude id=many", 2, "exclude")]
    [TestCase(Create + " --every 1h --where-property \"text.plan is pro\"", 2, "not_equals")]
    [TestCase(Create + " --every 1h --where-property \"text.plan regex a(b\"", 2, "where")]
    [TestCase(Create + " --every 1h --filter-file {root}/missing.yaml", 2, "missing.yaml")]
    [TestCase(Create + " --every 1h --filter-file {unknown}", 2, "unknown.yaml")]
    [TestCase(Create + " --every 1h --filter-file {list}", 2, "list.yaml")]
    [TestCase(Create + " --every 1h --key id --dedup distinct_on --deleted-column id", 2, "limit_by")]
    [TestCase(Create + " --every 1h --deleted-column text", 2, "Bool")]

    // Intervals.
    [TestCase(Create + " --every year", 2, "hour, day, week or month")]
    [TestCase(Create + " --every 1h --time-zone Europe/Berlin", 2, "Europe/Berlin")]
    [TestCase(Create + " --every day --offset 25h", 2, "offset")]
    [TestCase(Create + " --every day --start 2026-03-02 --end 2026-03-01", 2, "not after the start")]
    [TestCase("export reschedule nothing --every 1h", 2, "nothing")]
    [TestCase("export reschedule events", 2, "every")]

    // Destinations.
    [TestCase("destination create ftp old --root {root}", 2, "files, s3")]
    [TestCase("destination create files f2", 2, "--root")]
    [TestCase("destination create files f2 --root relative/path", 2, "relative/path")]
    [TestCase("destination create files f2 --root {root}/missing", 2, "missing")]
    [TestCase("destination create files \"no name\" --root {root}", 2, "no name")]
    [TestCase("destination create s3 s2", 2, "--bucket")]
    [TestCase("destination create s3 s2 --bucket bucket --secret-key pass", 2, "--secret-key-file")]
    [TestCase("destination create s3 s2 --bucket bucket --secret-key=pass", 2, "--secret-key-file")]
    [TestCase("destination create s3 s2 --bucket bucket --access-key-env NOT_SET --secret-key-env NOT_SET", 2, "NOT_SET")]
    [TestCase("destination create s3 s2 --bucket bucket --access-key-file {root}/missing", 2, "missing")]
    [TestCase("destination create s3 s2 --bucket bucket --access-key-file {root}", 2, "{root}")]
    [TestCase("destination create s3 s2 --bucket bucket --part-size large", 2, "--part-size")]
    [TestCase("destination create s3 s2 --bucket bucket --part-size 1", 2, "part_size")]
    [TestCase("destination create s3 s2 --bucket bucket --endpoint nowhere", 2, "endpoint")]

    // Words.
    [TestCase("export", 2, "create, list")]
    [TestCase("exprot list", 2, "no such command")]
    [TestCase("export list --limits 3", 2, "--limits")]
    [TestCase("export list --limits=3", 2, "--limits")]
    [TestCase("export show", 2, "name")]
    [TestCase("export show events twice", 2, "more arguments")]
    [TestCase("export create e2 --destination files --cursor-column at --every 1h", 2, "--table")]
    [TestCase("run list --limit 0", 2, "limit")]
    [TestCase("run list --limit all", 2, "--limit")]
    [TestCase("run list --state asleep", 2, "--state")]
    [TestCase("worker --slots 0", 2, "worker_slots")]
    [TestCase("worker --lease forever", 2, "worker_lease")]
    [TestCase("worker --memory 100MB", 2, "worker_memory")]
    [TestCase("worker --memory plenty", 2, "worker_memory")]
    [TestCase("demo --rows 1", 2, "rows")]

    // Settings.
    [TestCase("export list --config {root}/missing.yaml", 2, "missing.yaml")]
    [TestCase("export list --config {root}", 2, "{root}")]
    [TestCase("export list --config {unknown}", 2, "postgers")]
    [TestCase("export list --config {broken}", 2, "broken.yaml")]
    [TestCase("export list --config {list}", 2, "list.yaml")]
    [TestCase("export list --postgres postgresql://me:pass@localhost/x", 2, "EXPORTER_POSTGRES")]
    [TestCase("export list --clickhouse http://me:pass@localhost/x", 2, "EXPORTER_CLICKHOUSE")]
    [TestCase("migrate --encryption-key-file {root}/missing.key", 2, "missing.key")]
    public Task Bad_words_are_refused_in_one_line_and_nothing_is_left(string line, int status, string word) =>
        RefusedAsync(new CliCall(), line, status, word);

    [TestCase("export list", "EXPORTER_POSTGRES", null, 2, "EXPORTER_POSTGRES")]
    [TestCase("export list", "EXPORTER_POSTGRES", "nonsense", 2, "EXPORTER_POSTGRES")]
    [TestCase("export list", "EXPORTER_POSTGRES", "Host=127.0.0.1;Port=1;Username=u;Password=pass", 1, "EXPORTER_POSTGRES")]
    [TestCase("export list", "EXPORTER_POSTGRES", "Host=no.such.host.invalid;Username=u;Password=pass", 1, "EXPORTER_POSTGRES")]
    [TestCase("export list", "EXPORTER_POSTGRES", "{wrong-postgres}", 2, "EXPORTER_POSTGRES")]
    [TestCase("worker", "EXPORTER_POSTGRES", "{wrong-postgres}", 2, "EXPORTER_POSTGRES")]
    [TestCase("migrate", "EXPORTER_POSTGRES", "{wrong-postgres}", 2, "EXPORTER_POSTGRES")]
    [TestCase("migrate", "EXPORTER_POSTGRES", "Host=127.0.0.1;Port=1;Username=u;Password=pass", 1, "EXPORTER_POSTGRES")]
    [TestCase("export list", "EXPORTER_POSTGRES", "{no-database}", 2, "EXPORTER_POSTGRES")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", null, 2, "EXPORTER_CLICKHOUSE")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "{wrong-clickhouse}", 2, "Password")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "Host=127.0.0.1;Port=1;Username=u;Password=pass", 1, "EXPORTER_CLICKHOUSE")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "Host=127.0.0.1;Port=none", 2, "EXPORTER_CLICKHOUSE")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "nonsense", 2, "EXPORTER_CLICKHOUSE")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "http://u:pass@127.0.0.1:1,127.0.0.1:2/x", 1, "EXPORTER_CLICKHOUSE")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE", "Host=127.0.0.1:none", 2, "127.0.0.1:none")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE_MAX_THREADS", "0", 2, "clickhouse_max_threads")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE_COMPRESSION", "gzip", 2, "lz4, zstd or none")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE_SETTINGS", "max_threads", 2, "name=value")]
    [TestCase(Create + " --every 1h", "EXPORTER_CLICKHOUSE_SETTINGS", "no_such_setting=1", 2, "no_such_setting")]
    [TestCase("worker", "EXPORTER_CLICKHOUSE", null, 2, "EXPORTER_CLICKHOUSE")]
    [TestCase("migrate", "EXPORTER_ENCRYPTION_KEY", null, 2, "EXPORTER_ENCRYPTION_KEY")]
    [TestCase("migrate", "EXPORTER_ENCRYPTION_KEY", "short", 2, "exporter keys generate")]
    [TestCase("worker", "EXPORTER_ENCRYPTION_KEY", "short", 2, "exporter keys generate")]
    [TestCase("export list", "EXPORTER_CONFIG", "missing.yaml", 2, "EXPORTER_CONFIG")]
    [TestCase("worker", "EXPORTER_WORKER_SLOTS", "many", 2, "worker_slots")]
    public Task Bad_settings_are_refused_in_one_line_and_nothing_is_left(string line, string variable, string? value, int status, string word) =>
        RefusedAsync(new CliCall { Environment = { [variable] = value is null ? null : Filled(value) } }, line, status, word);

    [Test]
    public async Task Nothing_said_is_answered_with_the_help_on_standard_error()
    {
        var result = await _servers.Cli.RunAsync();
        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")));
        Assert.That(result.Error, Does.Contain("backfill").And.Contain("doctor"));
    }

    [Test]
    public async Task An_error_is_json_when_json_is_asked_for()
    {
        var result = await _servers.Cli.RunAsync("export", "show", "nothing", "--json");
        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")));
        var error = System.Text.Json.Nodes.JsonNode.Parse(result.Error)!["error"]!;
        Assert.That(error["message"]!.ToString(), Does.Contain("nothing"));
        Assert.That(error["advice"]!.ToString(), Is.Not.Empty);
    }

    private async Task RefusedAsync(CliCall call, string line, int status, string word)
    {
        var before = (await _servers.AskAsync(Counts))[0];
        var result = await _servers.Cli.RunAsync(call, [.. System.CommandLine.Parsing.CommandLineParser.SplitCommandLine(Filled(line))]);
        var after = (await _servers.AskAsync(Counts))[0];
        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Status, Is.EqualTo(status), result.Error);
            Assert.That(result.Out, Is.Empty);
            Assert.That(result.Error, Does.Match(@"\Aerror: [^\n]{15,}([^\n.]\.|: exporter [a-z ]+)\n\z"), "one line, which is a sentence or ends in a command");
            Assert.That(result.Error, Does.Contain(Filled(word)));
            Assert.That(result.Error, Does.Not.Match("Exception|System\\.|   at |pass\\b"), "neither insides nor a secret");
            Assert.That(after, Is.EqualTo(before), "rows");
        }
    }

    // Files of settings are written when a case names one.
    private string Filled(string text)
    {
        text = text.Replace("{root}", _servers.Root, StringComparison.Ordinal)
            .Replace("{wrong-postgres}", _servers.Postgres.Replace(_servers.PostgresPassword, "pass", StringComparison.Ordinal), StringComparison.Ordinal)
            .Replace("{no-database}", _servers.Postgres.Replace("Database=t", "Database=no", StringComparison.Ordinal), StringComparison.Ordinal)
            .Replace("{wrong-clickhouse}", _servers.ClickHouse.Replace("Password=clickhouse-test-password", "Password=pass", StringComparison.Ordinal), StringComparison.Ordinal);
        foreach (var (name, content) in ((string, string)[])[("unknown", "postgers: x\n"), ("broken", "postgres: [a\n"), ("list", "- postgres\n")])
        {
            if (text.Contains($"{{{name}}}", StringComparison.Ordinal))
            {
                var file = Path.Combine(_servers.Folder, name + ".yaml");
                File.WriteAllText(file, content);
                text = text.Replace($"{{{name}}}", file, StringComparison.Ordinal);
            }
        }

        return text;
    }
}

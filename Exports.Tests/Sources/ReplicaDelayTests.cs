using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>Replicas that are behind: a real server answers, through a proxy that puts replicas into <c>system.replicas</c>, since no cluster can run here.</summary>
internal sealed class ReplicaDelayTests
{
    private static readonly DataInterval Day = new(new DateTimeOffset(2026, 11, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 11, 2, 0, 0, 0, TimeSpan.Zero));

    private LocalClickHouse _server = null!;
    private string _database = "";
    private QueryRewriter _offline = null!;

    [SetUp]
    public async Task MakeTableAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        _database = "delay" + Guid.NewGuid().ToString("N");
        await _server.CreateDatabaseAsync(_database);
        await _server.ExecuteAsync($"CREATE TABLE {_database}.events (id UInt64, ts DateTime) ENGINE = MergeTree ORDER BY ts");
        await _server.ExecuteAsync($"INSERT INTO {_database}.events SELECT number, toDateTime('2026-11-01 00:00:00', 'UTC') FROM numbers(10)");
        _offline = QueryRewriter.Before(_server.HttpPort);
    }

    [TearDown]
    public void Close() => _offline.Dispose();

    [Test]
    public async Task A_host_whose_replica_is_behind_is_passed_by_until_it_has_caught_up()
    {
        Behind(_offline, ("events", 301));
        var clock = new MovedClock();
        using var source = Source(TimeSpan.FromMinutes(5), clock, _offline.Port, _server.HttpPort);
        Assert.That((await CountAsync(source)).Rows, Is.EqualTo(10), "the other host has them");
        Assert.That(Rows(_offline), Is.Zero);

        Behind(_offline, ("events", 299));
        clock.Ahead = TimeSpan.FromSeconds(5);
        Assert.That((await CountAsync(source)).Rows, Is.EqualTo(10));
        await CountAsync(source);
        Assert.That(Rows(_offline), Is.EqualTo(2), "it is preferred again");
        Assert.That(Looks(_offline), Is.EqualTo(2), "what it says is believed for a moment");
    }

    [Test]
    public async Task Of_a_replicated_table_only_its_own_delay_counts_and_of_any_other_that_of_all()
    {
        Behind(_offline, ("events", 0), ("broken", 90_000));
        using var source = Source(TimeSpan.FromSeconds(10), TimeProvider.System, _offline.Port, _server.HttpPort);
        await CountAsync(source);
        Assert.That(Rows(_offline), Is.EqualTo(1));

        await _server.ExecuteAsync($"CREATE VIEW {_database}.view AS SELECT * FROM {_database}.events");
        await CountAsync(source, Model with { Table = "view" });
        await CountAsync(source, Model with { Table = $"{_database}.view" });
        Assert.That(Rows(_offline), Is.EqualTo(1), "a view may read the broken table");
    }

    [Test]
    public async Task When_all_are_behind_nothing_is_read_and_the_error_passes_and_names_the_setting()
    {
        Behind(_offline, ("events", 3_600));
        using var source = Source(TimeSpan.FromMinutes(5), TimeProvider.System, _offline.Port);
        var error = await Assert.CatchAsync(() => CountAsync(source));
        var sorted = SourceErrors.Classify(error!)!;
        Assert.That(sorted.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(sorted.Message, Does.Contain("01:00:00 behind").And.Contain("clickhouse_max_replica_delay").And.Contain($"{_database}.events"));
        Assert.That(Rows(_offline), Is.Zero);
        var checks = new List<(string, bool)>();
        await foreach (var (host, check) in source.CheckHostsAsync(default))
        {
            checks.Add((host, check.Ok));
        }

        Assert.That(checks, Is.EqualTo(new[] { ($"127.0.0.1:{_offline.Port}", false) }), "exporter doctor says so, too");
    }

    [Test]
    public async Task A_single_host_and_one_whose_delay_may_not_be_known_are_asked_as_they_are()
    {
        Behind(_offline, ("events", 3_600));
        using var single = Source(null, TimeProvider.System, _offline.Port);
        await CountAsync(single);
        Assert.That(Looks(_offline), Is.Zero);

        // As ClickHouse refuses it.
        _offline.Rewrite = query => query.Contains("system.replicas", StringComparison.Ordinal)
            ? "SELECT throwIf(1, 'Not enough privileges', 497::Int16) SETTINGS allow_custom_error_code_in_throwif = 1"
            : query;
        using var several = Source(null, TimeProvider.System, _offline.Port, _server.HttpPort);
        await CountAsync(several);
        Assert.That((Looks(_offline), Rows(_offline)), Is.EqualTo((1, 2)));
    }

    private static SourceModel Model => new() { Table = "events", CursorColumn = "ts", KeyColumns = ["id"] };

    private static Task<BucketCount> CountAsync(ClickHouseSource source, SourceModel? model = null) =>
        source.CountSliceAsync(model ?? Model, new Slice { Number = 0, Range = Day, ExpectedRows = 0 }, default);

    private static int Rows(QueryRewriter host) => host.Queries.Count(query => query.Contains("__export_bucket", StringComparison.Ordinal));

    private static int Looks(QueryRewriter host) => host.Queries.Count(query => query.Contains("system.replicas", StringComparison.Ordinal));

    private void Behind(QueryRewriter host, params (string Table, int Seconds)[] replicas) => host.Rewrite = query => query.Replace(
        "FROM system.replicas",
        $"FROM (SELECT r.1 AS database, r.2 AS table, r.3 AS absolute_delay FROM (SELECT arrayJoin([{string.Join(", ", replicas.Select(replica => $"('{_database}', '{replica.Table}', {replica.Seconds}::UInt64)"))}]) AS r))",
        StringComparison.Ordinal);

    private ClickHouseSource Source(TimeSpan? most, TimeProvider time, params int[] ports) => new(
        new ClickHouseOptions
        {
            ConnectionString = $"Host={string.Join(',', ports.Select(port => $"127.0.0.1:{port}"))};Username={LocalClickHouse.User};Password={LocalClickHouse.Password};Database={_database}",
            MaxReplicaDelay = most,
            ConnectAttempts = 1,
        },
        time,
        NullLogger<ClickHouseSource>.Instance);
}

using System.Net;
using System.Net.Sockets;
using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>ClickHouse as it is in production: several hosts, of which some are away; limits; queries that are looked at while they run.</summary>
internal sealed class SourceHostsTests
{
    private static readonly SourceQuery Slow = SourceQuery.Without(
        "SELECT number, sleepEachRow(0.001) AS s FROM numbers(10000000) SETTINGS max_block_size = 100, http_response_buffer_size = 0, function_sleep_max_microseconds_per_block = 0");

    private LocalClickHouse _server = null!;

    [SetUp]
    public async Task FindServerAsync() => _server = await TestServers.ClickHouseAsync();

    [Test]
    public async Task The_first_host_that_can_be_reached_answers_and_one_that_cannot_is_left_alone_for_a_while()
    {
        using var away = new Door();
        using var source = Source(new() { ConnectionString = Hosts($"127.0.0.1:{away.Port}", $"127.0.0.1:{_server.HttpPort}") });
        for (var i = 0; i < 5; i++)
        {
            Assert.That((await source.AskAsync(SourceQuery.Without("SELECT 1"), default))[0][0], Is.EqualTo("1"));
        }

        Assert.That(away.Knocks, Is.EqualTo(1), "it is not asked again for each query");
        var checks = new List<bool>();
        await foreach (var (_, result) in source.CheckHostsAsync(default))
        {
            checks.Add(result.Ok);
        }

        Assert.That(checks, Is.EqualTo(new[] { false, true }), "a check asks every host");
    }

    [Test]
    public async Task A_host_that_comes_back_is_preferred_again()
    {
        using var first = new Door();
        var clock = new MovedClock();
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = Hosts($"127.0.0.1:{first.Port}", $"127.0.0.1:{_server.HttpPort}") }, clock, NullLogger<ClickHouseSource>.Instance);
        await source.AskAsync(SourceQuery.Without("SELECT 1"), default);
        first.LeadsTo(_server.HttpPort);
        await source.AskAsync(SourceQuery.Without("SELECT 1"), default);
        Assert.That(first.Knocks, Is.EqualTo(1));
        clock.Ahead = TimeSpan.FromSeconds(2);
        await source.AskAsync(SourceQuery.Without("SELECT 1"), default);
        Assert.That(first.Knocks, Is.EqualTo(2));
    }

    [Test]
    public async Task When_no_host_can_be_reached_they_are_tried_again_after_waits_and_then_it_is_an_error_that_passes()
    {
        using var away = new Door();
        using var other = new Door();
        using var source = Source(new() { ConnectionString = Hosts($"127.0.0.1:{away.Port}", $"127.0.0.1:{other.Port}"), ConnectAttempts = 3 });
        var clock = System.Diagnostics.Stopwatch.StartNew();
        var error = await Assert.CatchAsync(() => source.ReadAsync(Slow, Guid.NewGuid().ToString(), "", default));
        Assert.That(SourceErrors.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That((away.Knocks, other.Knocks), Is.EqualTo((3, 3)));
        Assert.That(clock.Elapsed, Is.GreaterThan(TimeSpan.FromMilliseconds(200)), "there are waits between");
    }

    [Test]
    public async Task A_connection_that_fails_for_a_moment_is_not_noticed()
    {
        using var door = new Door();
        using var source = Source(new() { ConnectionString = Hosts($"127.0.0.1:{door.Port}") });
        door.OpensAfter(2, _server.HttpPort);
        await using var reader = await source.ReadAsync(SourceQuery.Without("SELECT number FROM numbers(10)"), Guid.NewGuid().ToString(), "", default);
        using var batch = await reader.NextAsync(default);
        Assert.That(batch!.Length, Is.EqualTo(10));
        Assert.That(door.Knocks, Is.EqualTo(3));
    }

    [Test]
    public async Task No_more_queries_run_at_once_on_a_host_than_are_allowed()
    {
        using var source = Source(new() { ConnectionString = _server.ConnectionString, MaxQueriesPerHost = 2 });
        var name = "limit-" + Guid.NewGuid();
        var one = await source.ReadAsync(Slow, name + "-1", "", default);
        var two = await source.ReadAsync(Slow, name + "-2", "", default);
        var three = source.ReadAsync(Slow, name + "-3", "", default);
        using var impatient = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        Assert.That(async () => await source.AskAsync(SourceQuery.Without("SELECT 1"), impatient.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(three.IsCompleted, Is.False);
        Assert.That(await _server.ExecuteAsync($"SELECT count() FROM system.processes WHERE startsWith(query_id, '{name}')"), Is.EqualTo("2"));

        await one.DisposeAsync();
        await using var third = await three.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.That(await third.NextAsync(default), Is.Not.Null);
        await two.DisposeAsync();
        Assert.That((await source.AskAsync(SourceQuery.Without("SELECT 1"), default))[0][0], Is.EqualTo("1"), "what was refused a turn has taken none");
    }

    [Test]
    public async Task A_query_shows_how_far_it_is_while_it_runs_and_no_longer()
    {
        using var source = Source(new() { ConnectionString = _server.ConnectionString });
        var name = "progress-" + Guid.NewGuid();
        var reader = await source.ReadAsync(Slow, name + "-1", "", default);
        (await reader.NextAsync(default))!.Dispose();
        QueryProgress? progress = null;
        await Eventually.TrueAsync(async () => (progress = await source.ProgressAsync(name + "-1", default)) is { ReadRows: > 0 }, "progress");
        Assert.That((progress!.TotalRows, progress.ReadBytes > 0, progress.Elapsed > TimeSpan.Zero), Is.EqualTo((10_000_000L, true, true)));
        Assert.That((await source.ProgressOfAllAsync(name, default)).Select(one => one.QueryId), Is.EqualTo(new[] { name + "-1" }), "who did not start it sees it too");
        await reader.DisposeAsync();
        Assert.That(await source.ProgressAsync(name + "-1", default), Is.Null);
    }

    [Test]
    public async Task Limits_reach_ClickHouse_and_what_they_stop_is_too_much()
    {
        using var source = Source(new()
        {
            ConnectionString = _server.ConnectionString,
            MaxExecutionTime = TimeSpan.FromSeconds(77),
            MaxMemoryUsage = 64 << 20,
            MaxThreads = 3,
            Settings = new Dictionary<string, string> { ["max_bytes_before_external_sort"] = "123456789", ["max_threads"] = "9" },
        });
        var seen = await source.AskAsync(
            SourceQuery.Without(
                "SELECT name, value FROM system.settings WHERE name IN ('max_execution_time', 'max_memory_usage', 'max_threads', 'max_bytes_before_external_sort', 'readonly') ORDER BY name"),
            default);
        Assert.That(seen.Select(row => string.Join('=', row)), Is.EqualTo(new[]
        {
            "max_bytes_before_external_sort=123456789", "max_execution_time=77", $"max_memory_usage={64 << 20}", "max_threads=3", "readonly=2",
        }));
        var error = await Assert.CatchAsync(() => source.AskAsync(SourceQuery.Without("SELECT length(groupArray(randomString(1000))) FROM numbers(1000000)"), default));
        Assert.That((SourceErrors.IsTooMuch(error!), SourceErrors.Classify(error!)!.Kind), Is.EqualTo((true, ErrorKind.Transient)));
    }

    [TestCase(WireCompression.Lz4)]
    [TestCase(WireCompression.Zstd)]
    [TestCase(WireCompression.None)]
    public async Task Rows_are_compressed_on_the_wire_as_asked_for(WireCompression compression)
    {
        using var source = Source(new() { ConnectionString = _server.ConnectionString, Compression = compression });
        await using var reader = await source.ReadAsync(
            SourceQuery.Without("SELECT number, 'the same text in every row' AS text FROM numbers(100000)"), Guid.NewGuid().ToString(), "", default);
        var rows = 0L;
        while (await reader.NextAsync(default) is { } batch)
        {
            rows += batch.Length;
            batch.Dispose();
        }

        Assert.That(rows, Is.EqualTo(100_000));
        Assert.That(reader.BytesRead, compression == WireCompression.None ? Is.GreaterThan(3_000_000) : Is.LessThan(1_500_000));
    }

    [TestCase("Host=a,,b")]
    [TestCase("Host=a:port")]
    [TestCase("Host=a:99999")]
    [TestCase("nonsense")]
    public void What_is_no_list_of_hosts_names_the_connection_string(string text) => Assert.That(
        () => Source(new() { ConnectionString = text }), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("clickhouse"));

    [Test]
    public async Task Every_code_that_is_sorted_has_ClickHouses_name()
    {
        var codes = string.Join(", ", SourceErrorTable.All.Select(pair => $"({pair.Key}, '{pair.Value.Name}')"));
        Assert.That(await _server.ExecuteAsync($"SELECT arrayJoin([{codes}]) AS c WHERE errorCodeToName(c.1) != c.2"), Is.Empty);
    }

    [TestCase(516, ErrorKind.User, "clickhouse")]
    [TestCase(497, ErrorKind.User, "clickhouse")]
    [TestCase(164, ErrorKind.User, "clickhouse")]
    [TestCase(452, ErrorKind.User, "clickhouse_settings")]
    [TestCase(60, ErrorKind.User, "model")]
    [TestCase(72, ErrorKind.User, "columns")]
    [TestCase(202, ErrorKind.Throttled, null)]
    [TestCase(241, ErrorKind.Transient, null)]
    [TestCase(210, ErrorKind.Transient, null)]
    [TestCase(99999, ErrorKind.Transient, null)]
    [TestCase(49, ErrorKind.Bug, null)]
    public void An_error_is_sorted_by_who_has_to_act(int code, ErrorKind kind, string? setting)
    {
        var sorted = SourceErrors.Classify(new SourceException(code, "words"))!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)));
    }

    private static string Hosts(params string[] hosts) => $"Host={string.Join(',', hosts)};Username={LocalClickHouse.User};Password={LocalClickHouse.Password}";

    private static ClickHouseSource Source(ClickHouseOptions options) => new(options, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);

    /// <summary>A port that closes every connection at once, until it leads to a server.</summary>
    private sealed class Door : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private int _knocks;
        private int _opensAfter = int.MaxValue;
        private int _server;

        public Door()
        {
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int Knocks => _knocks;

        public void LeadsTo(int server) => OpensAfter(0, server);

        public void OpensAfter(int knocks, int server)
        {
            _server = server;
            _opensAfter = knocks;
        }

        public void Dispose() => _listener.Dispose();

        private async Task AcceptAsync()
        {
            while (true)
            {
                TcpClient near;
                try
                {
                    near = await _listener.AcceptTcpClientAsync();
                }
                catch (Exception error) when (error is SocketException or ObjectDisposedException)
                {
                    return;
                }

                _ = Interlocked.Increment(ref _knocks) > _opensAfter ? RelayAsync(near) : RefuseAsync(near);
            }
        }

        private static Task RefuseAsync(TcpClient near)
        {
            near.LingerState = new LingerOption(true, 0);
            near.Close();
            return Task.CompletedTask;
        }

        private async Task RelayAsync(TcpClient near)
        {
            using var closing = near;
            using var far = new TcpClient();
            await far.ConnectAsync(IPAddress.Loopback, _server);
            await Task.WhenAny(near.GetStream().CopyToAsync(far.GetStream()), far.GetStream().CopyToAsync(near.GetStream()));
        }
    }
}

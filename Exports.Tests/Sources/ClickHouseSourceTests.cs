using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

public sealed class ClickHouseSourceTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DataInterval Range = new(Start, Start.AddSeconds(1000));

    private static readonly SourceModel Model = new()
    {
        Table = "t", CursorColumn = "ts", KeyColumns = ["k"], VersionColumn = "v",
    };

    private LocalClickHouse _server = null!;
    private string _connection = null!;
    private ClickHouseSource _source = null!;

    [SetUp]
    public async Task MakeTableAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        _connection = (await _server.CreateDatabaseAsync()).Replace($"Username={LocalClickHouse.User}", "Username=reader", StringComparison.Ordinal);
        _source = Source(new ClickHouseOptions { ConnectionString = _connection });
        var database = _connection[(_connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {database}.t (ts DateTime64(6, 'UTC'), k Nullable(String), v UInt32, id UUID, name LowCardinality(String), e Enum8('a' = 1),
              dt DateTime('Europe/Berlin'), m Map(String, UInt8), ip IPv6, big UInt256, d Date, ids Array(UUID), nt Nullable(DateTime), ok Bool)
            ENGINE = MergeTree ORDER BY ts
            """);
        await _server.ExecuteAsync(
            $"""
            INSERT INTO {database}.t SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + number, if(number % 10 = 0, NULL, toString(number % 50)),
              number, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), 'n', 'a', toDateTime('2026-11-01 00:00:00', 'UTC'), map('x', 1), '::1', number,
              '2026-11-01', [toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')], NULL, true FROM numbers(1000)
            """);
    }

    [TearDown]
    public void Close() => _source.Dispose();

    [Test]
    public async Task Rows_arrive_once_with_types_that_lose_nothing()
    {
        var (schema, rows, bytes) = await ReadAsync(Model);
        Assert.That(rows, Is.EqualTo(1000));
        Assert.That(bytes, Is.GreaterThan(1000));
        var types = schema.FieldsList.ToDictionary(field => field.Name, field => field.DataType);
        Assert.That(types["ts"], Is.InstanceOf<TimestampType>());
        Assert.That(((TimestampType)types["dt"]).Timezone, Is.EqualTo("UTC"));
        Assert.That(types["nt"], Is.InstanceOf<TimestampType>());
        Assert.That(types["d"], Is.InstanceOf<Date32Type>());
        Assert.That(types["ok"], Is.InstanceOf<BooleanType>());
        Assert.That(types["ids"], Is.InstanceOf<ListType>());
        foreach (var name in (string[])["k", "id", "name", "e", "m", "ip", "big"])
        {
            Assert.That(types[name], Is.InstanceOf<StringType>(), name);
        }
    }

    [TestCase(Dedup.None, 1000)]
    [TestCase(Dedup.LimitBy, 46)]
    [TestCase(Dedup.DistinctOn, 46)]
    public async Task Counts_equal_the_rows_that_come_however_the_interval_is_cut(Dedup dedup, int expected)
    {
        var model = Model with { Dedup = dedup };
        var (_, rows, _) = await ReadAsync(model);
        Assert.That(rows, Is.EqualTo(expected));
        var counted = await _source.CountByHashAsync(model, Range, 4, default);
        Assert.That(counted.Sum(bucket => bucket.Rows), Is.EqualTo(expected));
        foreach (var bucket in counted)
        {
            var (_, part, _) = await ReadAsync(model, (int)bucket.Number, 4);
            Assert.That(part, Is.EqualTo(bucket.Rows), $"hash bucket {bucket.Number}");
        }
    }

    [Test]
    public async Task Buckets_of_the_cursor_hold_every_row_once()
    {
        var counted = await _source.CountByCursorAsync(Model with { Filter = "v >= 100 OR v < 50" }, Range, TimeSpan.FromSeconds(60), default);
        Assert.That(counted.Sum(bucket => bucket.Rows), Is.EqualTo(950));
        Assert.That(counted.Select(bucket => bucket.Number), Is.EqualTo(Enumerable.Range(0, 17)));
        Assert.That(counted[0].Rows, Is.EqualTo(50));
    }

    [Test]
    public async Task A_failure_in_mid_stream_has_ClickHouses_code_and_text()
    {
        var model = Model with { Columns = [new("throwIf(v = 900)", "boom"), new("v", "v")] };
        var source = Source(new ClickHouseOptions
        {
            ConnectionString = _connection,
            Settings = new Dictionary<string, string> { ["max_block_size"] = "10", ["max_threads"] = "1", ["preferred_block_size_bytes"] = "1", ["http_response_buffer_size"] = "0" },
        });
        using (source)
        {
            var columns = await source.DescribeAsync(model, default);
            var error = await Assert.ThrowsAsync<SourceException>(async () => await CountAsync(source, QueryBuilder.Rows(model, columns, Slice())));
            Assert.That(error!.Code, Is.EqualTo(395));
            Assert.That(error.Text, Does.Contain("throwIf"));
        }
    }

    [TestCase("table", "missing")]
    [TestCase("cursor_column", "missing")]
    [TestCase("key", "missing")]
    [TestCase("version", "missing")]
    [TestCase("columns", "missing + 1")]
    [TestCase("filter", "missing = 1")]
    public async Task What_is_missing_names_its_setting(string setting, string value)
    {
        var model = setting switch
        {
            "table" => Model with { Table = value },
            "cursor_column" => Model with { CursorColumn = value },
            "key" => Model with { KeyColumns = [value] },
            "version" => Model with { VersionColumn = value },
            "columns" => Model with { Columns = [new SourceColumn(value, "x")] },
            _ => Model with { Filter = value },
        };
        var error = await Assert.ThrowsAsync<UserErrorException>(() => _source.DescribeAsync(model, default));
        Assert.That(error!.Setting, Is.EqualTo(setting));
        Assert.That(error.Message, Does.Contain("missing"));
    }

    [Test]
    public async Task A_reader_that_is_left_early_kills_its_query()
    {
        var query = SourceQuery.Without("SELECT number, sleepEachRow(0.001) AS s FROM numbers(10000000) SETTINGS max_block_size = 100, http_response_buffer_size = 0, function_sleep_max_microseconds_per_block = 0");
        var id = "left-" + Guid.NewGuid();
        var reader = await _source.ReadAsync(query, id, "", default);
        using (await reader.NextAsync(default))
        {
            Assert.That(await RunningAsync(id), Is.EqualTo("1"));
        }

        await reader.DisposeAsync();
        var clock = System.Diagnostics.Stopwatch.StartNew();
        while (await RunningAsync(id) != "0")
        {
            Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)));
            await Task.Delay(50);
        }
    }

    [Test]
    public async Task A_silent_stream_times_out()
    {
        using var source = Source(new ClickHouseOptions { ConnectionString = _connection, IdleTimeout = TimeSpan.FromMilliseconds(300) });
        var query = SourceQuery.Without("SELECT number, if(number > 5, sleepEachRow(1), 0) AS s FROM numbers(20) SETTINGS max_block_size = 1, http_response_buffer_size = 0");
        var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
        await using (reader)
        {
            await Assert.ThrowsAsync<TimeoutException>(async () =>
            {
                while (await reader.NextAsync(default) is { } batch)
                {
                    batch.Dispose();
                }
            });
        }
    }

    [Test]
    public async Task A_wrong_password_names_the_connection_string()
    {
        using var source = Source(new ClickHouseOptions { ConnectionString = _connection.Replace("Password=", "Password=x", StringComparison.Ordinal) });
        var error = await Assert.ThrowsAsync<SourceException>(() => source.DescribeAsync(Model, default));
        Assert.That(SourceErrors.Classify(error!), Is.Not.Null.And.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("clickhouse"));
        var checks = new List<CheckResult>();
        await foreach (var check in source.CheckAsync(Model, default))
        {
            checks.Add(check);
        }

        Assert.That(checks.Select(check => (check.Step, check.Ok)), Is.EqualTo(new[] { ("connect", false) }));
    }

    private static ClickHouseSource Source(ClickHouseOptions options) => new(options, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);

    private static Slice Slice(int bucket = 0, int buckets = 1) =>
        new() { Number = 0, Range = Range, HashBucket = bucket, HashBuckets = buckets, ExpectedRows = 0 };

    private static async Task<(Schema Schema, long Rows, long Bytes)> CountAsync(ClickHouseSource source, SourceQuery query)
    {
        await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "test", default);
        var rows = 0L;
        while (await reader.NextAsync(default) is { } batch)
        {
            rows += batch.Length;
            batch.Dispose();
        }

        return (reader.Schema, rows, reader.BytesRead);
    }

    private Task<string> RunningAsync(string id) => _server.ExecuteAsync($"SELECT count() FROM system.processes WHERE query_id = '{id}'");

    private async Task<(Schema Schema, long Rows, long Bytes)> ReadAsync(SourceModel model, int bucket = 0, int buckets = 1) =>
        await CountAsync(_source, QueryBuilder.Rows(model, await _source.DescribeAsync(model, default), Slice(bucket, buckets)));
}

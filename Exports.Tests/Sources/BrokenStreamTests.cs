using System.Net;
using System.Net.Sockets;
using Exporter.Exports.Destinations;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Sources;

/// <summary>Whatever ends a stream before its end is an error that is tried again, never a short result.</summary>
internal sealed class BrokenStreamTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    private static readonly SourceQuery Slow = SourceQuery.Without(
        "SELECT number, sleepEachRow(0.001) AS s FROM numbers(10000000) SETTINGS max_block_size = 100, http_response_buffer_size = 0, function_sleep_max_microseconds_per_block = 0");

    [TestCase(1)]
    [TestCase(8)]
    [TestCase(1000)]
    public async Task A_stream_that_lacks_its_last_bytes_is_an_error(int lacking)
    {
        var server = await TestServers.ClickHouseAsync();
        using var http = new HttpClient();
        var login = $"user={LocalClickHouse.User}&password={LocalClickHouse.Password}";
        var whole = await http.GetByteArrayAsync(new Uri(
            $"http://127.0.0.1:{server.HttpPort}/?{login}&query=SELECT%20number%20FROM%20numbers(100000)%20FORMAT%20ArrowStream"));

        Assert.That(await RowsAsync(whole), Is.EqualTo(100_000));
        var error = await Assert.ThrowsAsync<SourceException>(() => RowsAsync(whole[..^lacking]));
        Assert.That(SourceErrors.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    // Servers write an error after the rows in several ways, and end the response as if all was well.
    [TestCase(false, "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 24.3.1.1)", 241)]
    [TestCase(true, "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 24.3.1.1)\n", 241)]
    [TestCase(false, "\r\n__exception__\r\nabcdefgh\r\nCode: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED) (version 26.7.2.1)\r\n100 abcdefgh\r\n__exception__\r\n", 159)]
    [TestCase(true, "\r\n__exception__\r\nabcdefgh\r\nCode: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED) (version 26.7.2.1)\r\n100 abcdefgh\r\n__exception__\r\n", 159)]
    [TestCase(false, "upstream timed out", 0)]
    [TestCase(true, "upstream timed out", 0)]
    public async Task An_error_that_is_written_after_the_rows_is_found_wherever_it_stands(bool afterTheEnd, string text, int code)
    {
        var server = await TestServers.ClickHouseAsync();
        using var http = new HttpClient();
        var login = $"user={LocalClickHouse.User}&password={LocalClickHouse.Password}";
        var whole = await http.GetByteArrayAsync(new Uri(
            $"http://127.0.0.1:{server.HttpPort}/?{login}&query=SELECT%20number%20FROM%20numbers(100000)%20FORMAT%20ArrowStream"));
        var broken = (afterTheEnd ? whole : whole[..^8]).Concat(System.Text.Encoding.UTF8.GetBytes(text)).ToArray();

        var error = await Assert.ThrowsAsync<SourceException>(() => RowsAsync(broken));

        Assert.That((error!.Code, SourceErrors.Classify(error)!.Kind), Is.EqualTo((code, ErrorKind.Transient)));
    }

    [TestCase("max_rows_to_read=20000, read_overflow_mode=break", 158)]
    [TestCase("max_result_rows=20000, result_overflow_mode=break", 396)]
    [TestCase("max_rows_to_group_by=100, group_by_overflow_mode=any", 158)]
    public async Task What_would_end_an_answer_early_without_a_word_is_an_error(string settings, int code)
    {
        var server = await TestServers.ClickHouseAsync();
        using var source = new ClickHouseSource(
            new ClickHouseOptions
            {
                ConnectionString = server.ConnectionString,
                Settings = settings.Split(", ").Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]),
            },
            TimeProvider.System,
            NullLogger<ClickHouseSource>.Instance);
        var query = SourceQuery.Without("SELECT number % 1000 AS n, count() AS c FROM numbers(1000000) GROUP BY number, n");

        var error = await Assert.ThrowsAsync<SourceException>(async () =>
        {
            await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
            await RestAsync(reader);
        });

        Assert.That((error!.Code, SourceErrors.IsTooMuch(error)), Is.EqualTo((code, true)));
    }

    [Test]
    public async Task A_server_that_is_killed_in_mid_stream_is_an_error_that_is_tried_again()
    {
        await using var server = await LocalClickHouse.StartAsync();
        using var source = Source(server.ConnectionString);
        await using var reader = await source.ReadAsync(Slow, "killed", "", default);
        (await reader.NextAsync(default))!.Dispose();

        await server.KillAsync();

        var error = await Assert.ThrowsAsync<SourceException>(() => RestAsync(reader));
        Assert.That(SourceErrors.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        var again = await Assert.CatchAsync(() => source.ReadAsync(Slow, "refused", "", default));
        Assert.That(SourceErrors.Classify(again!)!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_connection_that_is_cut_is_an_error_that_is_tried_again(bool politely)
    {
        var server = await TestServers.ClickHouseAsync();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var begun = new TaskCompletionSource();
        var relaying = RelayAsync(listener, server.HttpPort, 200_000, politely, begun.Task);
        using var source = Source(server.ConnectionString.Replace($"Port={server.HttpPort}", $"Port={port}", StringComparison.Ordinal));
        var query = SourceQuery.Without("SELECT number, randomString(100) FROM numbers(100000) SETTINGS max_block_size = 100");
        await using var reader = await source.ReadAsync(query, "cut-" + Guid.NewGuid(), "", default);
        (await reader.NextAsync(default))!.Dispose();
        begun.SetResult();

        var error = await Assert.ThrowsAsync<SourceException>(() => RestAsync(reader));

        Assert.That(SourceErrors.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        await relaying;
    }

    [Test]
    public async Task An_expression_that_fails_for_some_row_is_the_users_to_mend()
    {
        var server = await TestServers.ClickHouseAsync();
        using var source = Source(server.ConnectionString);
        var query = SourceQuery.Without("SELECT toInt64(if(number = 50000, 'x', '1')) AS n FROM numbers(100000) SETTINGS max_threads = 1");

        var error = await Assert.ThrowsAsync<SourceException>(async () =>
        {
            await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "", default);
            await RestAsync(reader);
        });

        var sorted = SourceErrors.Classify(error!)!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "columns")));
    }

    [Test]
    public async Task A_cancelled_read_kills_its_query()
    {
        var server = await TestServers.ClickHouseAsync();
        using var source = Source(server.ConnectionString);
        using var cancel = new CancellationTokenSource();
        var id = "cancelled-" + Guid.NewGuid();
        var reader = await source.ReadAsync(Slow, id, "", cancel.Token);
        (await reader.NextAsync(cancel.Token))!.Dispose();

        await cancel.CancelAsync();
        Assert.That(async () => await RestAsync(reader, cancel.Token), Throws.InstanceOf<OperationCanceledException>());
        await reader.DisposeAsync();

        await EndsAsync(server, id);
    }

    [Test]
    public async Task A_query_that_does_not_answer_is_a_timeout_and_no_cancellation_and_is_killed()
    {
        var server = await TestServers.ClickHouseAsync();
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = server.ConnectionString, FirstByteTimeout = TimeSpan.FromMilliseconds(500) },
            TimeProvider.System,
            NullLogger<ClickHouseSource>.Instance);
        var id = "silent-" + Guid.NewGuid();
        var query = SourceQuery.Without("SELECT sum(sleepEachRow(0.01)) AS s FROM numbers(10000) SETTINGS max_block_size = 10, function_sleep_max_microseconds_per_block = 0");

        await Assert.ThrowsAsync<TimeoutException>(() => source.ReadAsync(query, id, "", default));

        await EndsAsync(server, id);
    }

    // One connection, cut after so many bytes of the answer and when told to: by FIN in place of the rest, or by RST.
    private static async Task RelayAsync(TcpListener listener, int port, int most, bool politely, Task cut)
    {
        using var near = await listener.AcceptTcpClientAsync();
        using var far = new TcpClient();
        await far.ConnectAsync(IPAddress.Loopback, port);
        var asking = near.GetStream().CopyToAsync(far.GetStream());
        var buffer = new byte[4096];
        for (var passed = 0; passed < most;)
        {
            var count = await far.GetStream().ReadAsync(buffer);
            await near.GetStream().WriteAsync(buffer.AsMemory(0, count));
            passed += count;
        }

        await cut;
        if (politely)
        {
            near.Client.Shutdown(SocketShutdown.Both);
        }
        else
        {
            near.LingerState = new LingerOption(true, 0);
        }

        near.Close();
        listener.Stop();
        await asking.ContinueWith(static _ => { }, TaskScheduler.Default);
    }

    private static async Task<long> RowsAsync(byte[] bytes)
    {
        var stream = new TailStream(new MemoryStream(bytes), Limit, TimeProvider.System);
        await using var reader = await SourceReader.OpenAsync(stream, () => Task.CompletedTask, default);
        return await RestAsync(reader);
    }

    private static async Task<long> RestAsync(SourceReader reader, CancellationToken cancellationToken = default)
    {
        var rows = 0L;
        while (await reader.NextAsync(cancellationToken) is { } batch)
        {
            rows += batch.Length;
            batch.Dispose();
        }

        return rows;
    }

    private static async Task EndsAsync(LocalClickHouse server, string id)
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        while (await server.ExecuteAsync($"SELECT count() FROM system.processes WHERE query_id = '{id}'") != "0")
        {
            Assert.That(clock.Elapsed, Is.LessThan(Limit), "the query still runs on the server");
            await Task.Delay(50);
        }
    }

    private static ClickHouseSource Source(string connectionString) =>
        new(new ClickHouseOptions { ConnectionString = connectionString }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
}

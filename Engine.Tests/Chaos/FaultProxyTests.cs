using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>The proxy does to connections what it was told, and nothing when it was told nothing.</summary>
public sealed class FaultProxyTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private CancellationTokenSource _end = null!;
    private TcpListener _server = null!;
    private FaultProxy _proxy = null!;
    private int _reached;

    [SetUp]
    public void Prepare()
    {
        _end = new CancellationTokenSource();
        _reached = 0;
        _server = new TcpListener(IPAddress.Loopback, 0);
        _server.Start();
        _ = EchoAsync();
        _proxy = FaultProxy.Start(((IPEndPoint)_server.LocalEndpoint).Port);
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _end.CancelAsync();
        _server.Dispose();
        await _proxy.DisposeAsync();
        _end.Dispose();
    }

    [Test]
    public async Task It_relays_both_ways_and_ends_when_the_client_does()
    {
        using (var client = await ConnectAsync())
        {
            Assert.That(await AskAsync(client, 1), Is.EqualTo(1));
            Assert.That(_proxy.Open, Is.EqualTo(1));
        }

        await Eventually.TrueAsync(() => _proxy.Open == 0, "the connection is gone");
        Assert.That(_proxy.Cuts, Is.Zero);
    }

    [Test]
    public async Task A_delay_holds_up_what_passes_and_ends()
    {
        using var client = await ConnectAsync();
        _proxy.Delay = TimeSpan.FromMilliseconds(150);
        var clock = Stopwatch.StartNew();
        Assert.That(await AskAsync(client, 1), Is.EqualTo(1));
        Assert.That(clock.ElapsedMilliseconds, Is.GreaterThanOrEqualTo(290), "there and back");
        _proxy.Normal();
        Assert.That(await AskAsync(client, 2), Is.EqualTo(2));
        Assert.That(_proxy.Cuts, Is.Zero);
    }

    [Test]
    public async Task A_cut_resets_what_is_open_and_the_next_connection_works()
    {
        using var client = await ConnectAsync();
        await AskAsync(client, 1);
        _proxy.CutAll();
        var error = await Assert.ThrowsAsync<SocketException>(() => AskAsync(client, 2));
        Assert.That(error!.SocketErrorCode, Is.EqualTo(SocketError.ConnectionReset).Or.EqualTo(SocketError.Shutdown));
        using var next = await ConnectAsync();
        Assert.That(await AskAsync(next, 3), Is.EqualTo(3));
        Assert.That(_proxy.Cuts, Is.EqualTo(1));
    }

    [Test]
    public async Task A_truncated_answer_ends_after_so_many_bytes()
    {
        using var client = await ConnectAsync();
        _proxy.TruncateAfter(3);
        await client.SendAsync(new byte[] { 1, 2, 3, 4, 5 });
        var received = 0;
        try
        {
            while (await client.ReceiveAsync(new byte[10]).WaitAsync(Limit) is > 0 and var count)
            {
                received += count;
            }
        }
        catch (SocketException)
        {
            // Cut while the client was still reading.
        }

        Assert.That(received, Is.EqualTo(3));
    }

    [Test]
    public async Task A_blackhole_swallows_and_what_fell_in_is_cut_when_it_ends()
    {
        using var client = await ConnectAsync();
        await AskAsync(client, 1);
        var before = Volatile.Read(ref _reached);
        _proxy.IsBlackhole = true;
        using var late = await ConnectAsync();
        await late.SendAsync(new byte[] { 9 });
        await client.SendAsync(new byte[] { 9 });
        var answer = client.ReceiveAsync(new byte[1]);
        await Eventually.TrueAsync(() => _proxy.Swallowed == 2, "both fell in");
        Assert.That(answer.IsCompleted, Is.False);
        await Assert.ThrowsAsync<TimeoutException>(() => late.ReceiveAsync(new byte[1]).WaitAsync(TimeSpan.FromMilliseconds(200)));
        _proxy.Normal();
        await Assert.ThrowsAsync<SocketException>(() => answer.WaitAsync(Limit));
        Assert.That(Volatile.Read(ref _reached), Is.EqualTo(before), "nothing of it got to the server");
    }

    [TestCase(nameof(FaultMoment.NeverArrives), 0)]
    [TestCase(nameof(FaultMoment.AnswerLost), 1)]
    [TestCase(nameof(FaultMoment.ArrivesLate), 1)]
    public async Task A_trap_springs_at_its_message_which(string which, int reached)
    {
        var moment = Enum.Parse<FaultMoment>(which);
        using var client = await ConnectAsync();
        var trap = new FaultTrap(moment, "A", "B");
        _proxy.Set(trap);
        await AskAsync(client, (byte)'B');
        await AskAsync(client, (byte)'A');
        Assert.That(trap.Sprung.IsCompleted, Is.False);
        var before = Volatile.Read(ref _reached);
        await client.SendAsync(new[] { (byte)'B' });
        await trap.Sprung.WaitAsync(Limit);
        Assert.That(Volatile.Read(ref _reached), Is.EqualTo(before + (moment == FaultMoment.AnswerLost ? 1 : 0)));
        trap.Release();
        await Assert.ThrowsAsync<SocketException>(() => client.ReceiveAsync(new byte[1]).WaitAsync(Limit));
        if (moment == FaultMoment.ArrivesLate)
        {
            Assert.That(await trap.Delivered.WaitAsync(Limit));
        }

        Assert.That(Volatile.Read(ref _reached), Is.EqualTo(before + reached));
    }

    private static async Task<byte> AskAsync(Socket client, byte question)
    {
        await client.SendAsync(new[] { question });
        var answer = new byte[1];
        return await client.ReceiveAsync(answer).WaitAsync(Limit) == 1 ? answer[0] : throw new SocketException((int)SocketError.Shutdown);
    }

    private async Task<Socket> ConnectAsync()
    {
        var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, _proxy.Port);
        return client;
    }

    private async Task EchoAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                _ = EchoAsync(await _server.AcceptSocketAsync(_end.Token));
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task EchoAsync(Socket socket)
    {
        using var mine = socket;
        var buffer = new byte[100];
        try
        {
            while (await socket.ReceiveAsync(buffer, _end.Token) is > 0 and var count)
            {
                Interlocked.Add(ref _reached, count);
                await socket.SendAsync(buffer.AsMemory(0, count), _end.Token);
            }
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException)
        {
            // The client was cut off.
        }
    }
}

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>A TCP proxy before a server that misbehaves when it is told to: slow, silent, cut off, cut short.</summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Link, byte> _links = new();
    private readonly CancellationTokenSource _end = new();
    private readonly int _target;
    private readonly Task _accepting;
    private FaultTrap? _trap;
    private long _cuts;
    private long _left = long.MaxValue;

    private FaultProxy(int target)
    {
        _target = target;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Connections that were cut.</summary>
    public long Cuts => Interlocked.Read(ref _cuts);

    /// <summary>Connections that are open.</summary>
    public int Open => _links.Count;

    /// <summary>Open connections of which something was swallowed.</summary>
    public int Swallowed => _links.Keys.Count(link => link.HasLost);

    /// <summary>How long whatever passes is held up, each way.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>Whether connections are accepted and all that comes is swallowed.</summary>
    public bool IsBlackhole { get; set; }

    /// <param name="target">A port of this machine.</param>
    public static FaultProxy Start(int target) => new(target);

    /// <summary>Resets every connection.</summary>
    public void CutAll()
    {
        foreach (var link in _links.Keys)
        {
            Cut(link);
        }
    }

    /// <summary>Lets so many bytes of the server pass, over all connections, and then cuts the one that wants more.</summary>
    public void TruncateAfter(long bytes) => Interlocked.Exchange(ref _left, bytes);

    /// <summary>Sets a trap, in place of the one before.</summary>
    public void Set(FaultTrap trap) => Volatile.Write(ref _trap, trap);

    /// <summary>Ends every fault. Connections of which something was swallowed are cut: they are of no use any more.</summary>
    public void Normal()
    {
        Delay = TimeSpan.Zero;
        IsBlackhole = false;
        TruncateAfter(long.MaxValue);
        Volatile.Write(ref _trap, null);
        foreach (var link in _links.Keys.Where(link => link.HasLost))
        {
            Cut(link);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        CutAll();
        await _accepting;
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                var client = await _listener.AcceptSocketAsync(_end.Token);
                _ = RelayAsync(client);
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // Stopped, or gone before it was accepted.
            }
        }
    }

    private async Task RelayAsync(Socket client)
    {
        var link = new Link(client, new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        _links.TryAdd(link, 0);
        try
        {
            client.NoDelay = link.Server.NoDelay = true;
            await link.Server.ConnectAsync(IPAddress.Loopback, _target, _end.Token);
            await Task.WhenAny(PassAsync(link, client, link.Server, FromClientAsync), PassAsync(link, link.Server, client, FromServerAsync));
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException)
        {
            // The server is away: so is this connection.
        }
        finally
        {
            link.Trap?.Deliver(answered: false);
            link.Close(reset: link.IsCut);
            _links.TryRemove(link, out _);
        }
    }

    private async Task PassAsync(Link link, Socket from, Socket to, Func<Link, Socket, ReadOnlyMemory<byte>, Task> pass)
    {
        var buffer = new byte[64 << 10];
        try
        {
            while (await from.ReceiveAsync(buffer, _end.Token) is > 0 and var count)
            {
                if (Delay is { Ticks: > 0 } delay)
                {
                    await Task.Delay(delay, _end.Token);
                }

                if (IsBlackhole || link.HasLost)
                {
                    link.HasLost = true;
                    continue;
                }

                await pass(link, to, buffer.AsMemory(0, count));
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Either end is gone.
        }
    }

    private async Task FromClientAsync(Link link, Socket server, ReadOnlyMemory<byte> bytes)
    {
        if (Volatile.Read(ref _trap) is { } trap && trap.Steps(link.Seen, Encoding.Latin1.GetString(bytes.Span))
            && Interlocked.CompareExchange(ref _trap, null, trap) == trap)
        {
            link.Trap = trap;
            if (trap.Moment == FaultMoment.AnswerLost)
            {
                await server.SendAsync(bytes, _end.Token);
                return;
            }

            trap.Spring();
            if (trap.Moment == FaultMoment.ArrivesLate)
            {
                Interlocked.Increment(ref _cuts);
                link.CutClient();
            }

            await trap.Released.WaitAsync(_end.Token);
            if (trap.Moment == FaultMoment.ArrivesLate)
            {
                await server.SendAsync(bytes, _end.Token);
                await trap.Delivered.WaitAsync(_end.Token);
            }

            Cut(link);
            return;
        }

        await server.SendAsync(bytes, _end.Token);
    }

    private async Task FromServerAsync(Link link, Socket client, ReadOnlyMemory<byte> bytes)
    {
        if (link.Trap is { Moment: FaultMoment.AnswerLost } trap)
        {
            trap.Spring();
            await trap.Released.WaitAsync(_end.Token);
            Cut(link);
            return;
        }

        if (link.Trap is { Moment: FaultMoment.ArrivesLate } late)
        {
            late.Deliver(answered: true);
            return;
        }

        var left = Interlocked.Read(ref _left);
        if (left != long.MaxValue && (left = Interlocked.Add(ref _left, -bytes.Length)) < 0)
        {
            await client.SendAsync(bytes[..(int)Math.Max(0, bytes.Length + left)], _end.Token);
            Interlocked.Increment(ref _cuts);
            link.Close(reset: false);
            return;
        }

        await client.SendAsync(bytes, _end.Token);
    }

    private void Cut(Link link)
    {
        if (!link.IsCut)
        {
            Interlocked.Increment(ref _cuts);
            link.IsCut = true;
        }

        link.Close(reset: true);
    }

    private sealed class Link(Socket client, Socket server)
    {
        public Socket Server => server;

        public bool HasLost { get; set; }

        public bool IsCut { get; set; }

        public FaultTrap? Trap { get; set; }

        /// <summary>How far this connection has come on the way into a trap.</summary>
        public TrapProgress Seen { get; } = new();

        public void Close(bool reset)
        {
            CloseOne(client, reset);
            CloseOne(server, reset);
        }

        public void CutClient() => CloseOne(client, reset: true);

        private static void CloseOne(Socket socket, bool reset)
        {
            try
            {
                socket.LingerState = new LingerOption(reset, 0);
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException)
            {
                // Closed before.
            }

            socket.Dispose();
        }
    }
}

/// <summary>How far a connection has come.</summary>
internal sealed class TrapProgress
{
    public FaultTrap? Of { get; set; }

    public int Steps { get; set; }
}

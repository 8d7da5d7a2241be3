using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>A message as it came, before anything was done with it.</summary>
internal sealed record WebhookCall(string Path, string Id, int Number, IHeaderDictionary Headers, byte[] Body);

/// <summary>What becomes of a message instead of being taken.</summary>
internal sealed record WebhookFault
{
    /// <summary>The status that is answered; 0 cuts the connection.</summary>
    public int Status { get; init; }

    public string? RetryAfter { get; init; }

    public string? Location { get; init; }

    /// <summary>Whether the rows are taken before.</summary>
    public bool Takes { get; init; }

    /// <summary>Nothing is answered until then.</summary>
    public Task Waits { get; init; } = Task.CompletedTask;
}

/// <summary>
/// A receiver of Standard Webhooks on Kestrel: refuses what is signed wrongly, too old or not for it, takes the rows of an id once, and
/// does to chosen messages what networks and servers do.
/// </summary>
internal sealed class WebhookServer : IAsyncDisposable
{
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(5);
    private readonly string _secret;
    private readonly Lock _taking = new();
    private readonly Dictionary<(string Path, string Id), string> _taken = [];
    private readonly List<(string Path, string Row)> _rows = [];
    private LoopbackServer _loopback = null!;
    private int _calls;
    private int _now;

    private WebhookServer(string secret) => _secret = secret;

    /// <summary>What goes wrong; nothing by default.</summary>
    public Func<WebhookCall, WebhookFault?> Fault { get; set; } = _ => null;

    public Uri Address => _loopback.Address;

    /// <summary>Every call that was signed well, in the order in which they came.</summary>
    public ConcurrentQueue<WebhookCall> Calls { get; } = [];

    /// <summary>Calls that were refused, and why.</summary>
    public ConcurrentQueue<string> Refused { get; } = [];

    /// <summary>Messages that came again after they had been taken.</summary>
    public int Repeats { get; private set; }

    /// <summary>Messages that came again with other rows under the same id: always a bug.</summary>
    public int Conflicts { get; private set; }

    /// <summary>The most calls that were there at once.</summary>
    public int MostAtOnce { get; private set; }

    public static string NewSecret() => "whsec_" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    public static async Task<WebhookServer> StartAsync(string secret)
    {
        var server = new WebhookServer(secret);
        server._loopback = await LoopbackServer.StartAsync(server.HandleAsync);
        return server;
    }

    public Uri Url(string path) => new(Address, path);

    /// <summary>The rows that were taken at a path, in their order.</summary>
    public IReadOnlyList<string> Rows(string path = "/")
    {
        lock (_taking)
        {
            return [.. _rows.Where(row => row.Path == path).Select(row => row.Row)];
        }
    }

    public ValueTask DisposeAsync() => _loopback.DisposeAsync();

    public static string Sign(string secret, string id, string timestamp, byte[] body)
    {
        var key = Convert.FromBase64String(secret["whsec_".Length..]);
        return "v1," + Convert.ToBase64String(HMACSHA256.HashData(key, (byte[])[.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body]));
    }

    private async Task HandleAsync(HttpContext http)
    {
        if (http.Request.Method != "POST")
        {
            http.Response.StatusCode = 405;
            return;
        }

        var body = await LoopbackServer.BodyAsync(http.Request);
        if (Problem(http.Request, body) is { } problem)
        {
            Refused.Enqueue(problem);
            http.Response.StatusCode = 401;
            await http.Response.WriteAsync(problem);
            return;
        }

        var call = new WebhookCall(http.Request.Path.Value!, http.Request.Headers["webhook-id"]!, Interlocked.Increment(ref _calls) - 1, new HeaderDictionary(http.Request.Headers.ToDictionary()), body);
        Calls.Enqueue(call);
        lock (_taking)
        {
            MostAtOnce = Math.Max(MostAtOnce, ++_now);
        }

        try
        {
            var fault = Fault(call);
            if (fault is null or { Takes: true })
            {
                Take(call);
            }

            if (fault is not null)
            {
                await fault.Waits;
                if (fault.Status == 0)
                {
                    http.Abort();
                    return;
                }

                http.Response.StatusCode = fault.Status;
                http.Response.Headers.RetryAfter = fault.RetryAfter;
                http.Response.Headers.Location = fault.Location;
                await http.Response.WriteAsync("as the test says");
            }
        }
        finally
        {
            lock (_taking)
            {
                _now--;
            }
        }
    }

    private string? Problem(HttpRequest request, byte[] body)
    {
        var (id, timestamp, signatures) = (request.Headers["webhook-id"].ToString(), request.Headers["webhook-timestamp"].ToString(), request.Headers["webhook-signature"].ToString());
        if (!long.TryParse(timestamp, CultureInfo.InvariantCulture, out var seconds)
            || (TimeProvider.System.GetUtcNow() - DateTimeOffset.FromUnixTimeSeconds(seconds)).Duration() > Tolerance)
        {
            return $"the time \"{timestamp}\" is not about now";
        }

        return !signatures.Split(' ').Contains(Sign(_secret, id, timestamp, body)) ? "no signature fits"
            : request.Headers["Idempotency-Key"] != id ? "the idempotency key is not the id"
            : null;
    }

    private void Take(WebhookCall call)
    {
        var text = Encoding.UTF8.GetString(call.Headers.ContentEncoding == "gzip" ? Unpack(call.Body) : call.Body);
        lock (_taking)
        {
            if (_taken.TryGetValue((call.Path, call.Id), out var before))
            {
                Repeats++;
                Conflicts += before == text ? 0 : 1;
                return;
            }

            _taken[(call.Path, call.Id)] = text;
            _rows.AddRange(text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(row => (call.Path, row)));
        }
    }

    private static byte[] Unpack(byte[] body)
    {
        using var gzip = new GZipStream(new MemoryStream(body), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        gzip.CopyTo(plain);
        return plain.ToArray();
    }
}

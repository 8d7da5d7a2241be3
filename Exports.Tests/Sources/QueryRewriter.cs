using System.Net;
using System.Text;

namespace Exporter.Exports.Tests.Sources;

/// <summary>
/// Stands before a real ClickHouse and changes a piece of each query's text on its way, so that the server answers as one would that is
/// in another state. What went through is kept.
/// </summary>
internal sealed class QueryRewriter : IDisposable
{
    private readonly HttpListener _listener = new();
    private readonly HttpClient _http = new();
    private readonly int _server;
    private readonly List<string> _queries = [];

    private QueryRewriter(int server, int port)
    {
        (_server, Port) = (server, port);
        _listener.Prefixes.Add($"http://127.0.0.1:{port}/");
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port { get; }

    /// <summary>What becomes of a query's text. Default nothing.</summary>
    public Func<string, string> Rewrite { get; set; } = query => query;

    /// <summary>The queries that came, as they came.</summary>
    public IReadOnlyList<string> Queries
    {
        get
        {
            lock (_queries)
            {
                return [.. _queries];
            }
        }
    }

    public static QueryRewriter Before(int server)
    {
        using var free = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        free.Start();
        var port = ((IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        return new QueryRewriter(server, port);
    }

    public void Dispose()
    {
        _listener.Close();
        _http.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (_listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception error) when (error is HttpListenerException or ObjectDisposedException)
            {
                return;
            }

            _ = PassOnAsync(context);
        }
    }

    private async Task PassOnAsync(HttpListenerContext context)
    {
        using var reader = new StreamReader(context.Request.InputStream, Encoding.UTF8);
        var query = await reader.ReadToEndAsync();
        lock (_queries)
        {
            _queries.Add(query);
        }

        using var request = new HttpRequestMessage(new HttpMethod(context.Request.HttpMethod), $"http://127.0.0.1:{_server}{context.Request.RawUrl}")
        {
            Content = new StringContent(Rewrite(query), Encoding.UTF8, "text/plain"),
        };
        foreach (var name in context.Request.Headers.AllKeys.Where(name => name is "Authorization" || name!.StartsWith("X-ClickHouse", StringComparison.OrdinalIgnoreCase)))
        {
            request.Headers.TryAddWithoutValidation(name!, context.Request.Headers[name]);
        }

        using var answer = await _http.SendAsync(request);
        context.Response.StatusCode = (int)answer.StatusCode;
        foreach (var header in answer.Headers.Concat(answer.Content.Headers).Where(header => header.Key.StartsWith("X-ClickHouse", StringComparison.OrdinalIgnoreCase) || header.Key == "Content-Type"))
        {
            context.Response.Headers[header.Key] = string.Join(',', header.Value);
        }

        await answer.Content.CopyToAsync(context.Response.OutputStream);
        context.Response.Close();
    }
}

using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>A request as it was on the wire.</summary>
internal sealed record S3Request(string Method, string Path, string Query, IReadOnlyDictionary<string, string> Headers, string Text)
{
    public bool IsPart => Method == "PUT" && Query.Contains("partNumber=", StringComparison.Ordinal);

    public string? Header(string name) => Headers.GetValueOrDefault(name.ToLowerInvariant());
}

/// <summary>
/// A proxy before an S3 server that notes every request, for what that server does not honour; or, where a test says so, answers in
/// its place what Amazon documents.
/// </summary>
internal sealed class S3Recorder : IAsyncDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false });
    private readonly Uri? _server;
    private readonly Lock _counting = new();
    private LoopbackServer _loopback = null!;
    private int _partsNow;

    private S3Recorder(Uri? server) => _server = server;

    public Uri Address => _loopback.Address;

    public ConcurrentQueue<S3Request> Requests { get; } = [];

    /// <summary>What is answered instead: status, headers as text "name: value", body; null passes the request on.</summary>
    public Func<S3Request, (int Status, string? Header, string Body)?> Answer { get; set; } = _ => null;

    /// <summary>Every request waits for this before it goes on.</summary>
    public Func<S3Request, Task> Hold { get; set; } = _ => Task.CompletedTask;

    /// <summary>The most parts that were on their way at once.</summary>
    public int MostPartsAtOnce { get; private set; }

    /// <param name="server">Where requests are passed on to; null: nowhere, <see cref="Answer"/> answers all.</param>
    public static async Task<S3Recorder> StartAsync(Uri? server = null)
    {
        var recorder = new S3Recorder(server);
        recorder._loopback = await LoopbackServer.StartAsync(recorder.HandleAsync);
        return recorder;
    }

    public async ValueTask DisposeAsync()
    {
        await _loopback.DisposeAsync();
        _http.Dispose();
    }

    private async Task HandleAsync(HttpContext http)
    {
        var content = await LoopbackServer.BodyAsync(http.Request);
        var headers = http.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value.ToString(), StringComparer.Ordinal);
        var text = content.Length < 64 * 1024 ? Encoding.UTF8.GetString(content) : "";
        var request = new S3Request(http.Request.Method, http.Request.Path, http.Request.QueryString.Value ?? "", headers, text);
        Requests.Enqueue(request);
        lock (_counting)
        {
            _partsNow += request.IsPart ? 1 : 0;
            MostPartsAtOnce = Math.Max(MostPartsAtOnce, _partsNow);
        }

        try
        {
            await Hold(request);
            if (Answer(request) is var (status, header, body))
            {
                http.Response.StatusCode = status;
                if (header?.Split(": ", 2) is [var name, var value])
                {
                    http.Response.Headers[name] = value;
                }

                await http.Response.WriteAsync(request.Method == "HEAD" ? "" : body);
                return;
            }

            await PassOnAsync(http, content);
        }
        finally
        {
            lock (_counting)
            {
                _partsNow -= request.IsPart ? 1 : 0;
            }
        }
    }

    // The host stays the one that was signed.
    private async Task PassOnAsync(HttpContext http, byte[] body)
    {
        using var request = new HttpRequestMessage(new HttpMethod(http.Request.Method), new Uri(_server!, http.Request.Path.ToUriComponent() + http.Request.QueryString));
        request.Content = new ByteArrayContent(body);
        foreach (var (name, values) in http.Request.Headers)
        {
            _ = request.Headers.TryAddWithoutValidation(name, (IEnumerable<string>)values!)
                || request.Content.Headers.TryAddWithoutValidation(name, (IEnumerable<string>)values!);
        }

        using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, http.RequestAborted);
        http.Response.StatusCode = (int)answer.StatusCode;
        foreach (var (name, values) in Headers(answer.Headers).Concat(Headers(answer.Content.Headers)))
        {
            http.Response.Headers[name] = values;
        }

        http.Response.Headers.Remove("transfer-encoding");
        if (http.Request.Method != "HEAD")
        {
            await answer.Content.CopyToAsync(http.Response.Body);
        }
    }

    private static IEnumerable<(string, string[])> Headers(HttpHeaders headers) => headers.Select(header => (header.Key, header.Value.ToArray()));
}

using System.Net;
using Azure.Core.Pipeline;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The way of Azure's SDK to a real server, on which chosen requests go wrong.</summary>
internal sealed class FaultyAzureHandler(Func<HttpRequestMessage, Fault> choose) : DelegatingHandler(new SocketsHttpHandler())
{
    private int _faults;

    /// <summary>How many requests went wrong.</summary>
    public int Faults => _faults;

    /// <summary>How long a server that asks for fewer requests wants to be left alone; null when it does not say.</summary>
    public TimeSpan? Pause { get; init; }

    /// <summary>What a request waits for before it goes on.</summary>
    public Func<HttpRequestMessage, Task> Hold { get; init; } = _ => Task.CompletedTask;

    public HttpPipelineTransport Transport => new HttpClientTransport(new HttpClient(this, disposeHandler: false));

    public static bool IsBlock(HttpRequestMessage request) => request.Method == HttpMethod.Put && Query(request).Contains("comp=block&", StringComparison.Ordinal);

    public static bool IsCommit(HttpRequestMessage request) => request.Method == HttpMethod.Put && Query(request).Contains("comp=blocklist", StringComparison.Ordinal);

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var fault = choose(request);
        if (fault != Fault.None)
        {
            Interlocked.Increment(ref _faults);
        }

        if (fault is Fault.Refuse or Fault.Throttle)
        {
            var (status, code) = fault == Fault.Refuse ? (HttpStatusCode.InternalServerError, "InternalError") : (HttpStatusCode.ServiceUnavailable, "ServerBusy");
            var refusal = new HttpResponseMessage(status) { RequestMessage = request, Content = new StringContent("") };
            refusal.Headers.Add("x-ms-error-code", code);
            if (fault == Fault.Throttle && Pause is { } pause)
            {
                refusal.Headers.RetryAfter = new(pause);
            }

            return refusal;
        }

        await Hold(request);
        var answer = await base.SendAsync(request, cancellationToken);
        if (fault == Fault.LoseAnswer)
        {
            answer.Dispose();
            throw new HttpRequestException("The connection broke.", new IOException("Connection reset by peer"));
        }

        return answer;
    }

    private static string Query(HttpRequestMessage request) => request.RequestUri!.Query + "&";
}

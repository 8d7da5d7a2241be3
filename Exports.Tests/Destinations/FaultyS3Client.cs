using System.Net;
using Amazon.Runtime;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What becomes of a request.</summary>
internal enum Fault
{
    None,

    /// <summary>The server never gets it; the client is told of an error inside the server.</summary>
    Refuse,

    /// <summary>As <see cref="Refuse"/>, and asks for fewer requests.</summary>
    Throttle,

    /// <summary>The server never gets it; the client is told that it may not.</summary>
    Forbid,

    /// <summary>The server never gets it; the client is told that there is nothing.</summary>
    Take,

    /// <summary>The server does it, and the connection breaks before its answer.</summary>
    LoseAnswer,
}

/// <summary>The SDK's way to a real server, on which chosen requests go wrong.</summary>
internal sealed class FaultyS3Client(Func<HttpRequestMessage, Fault> choose) : HttpClientFactory
{
    private int _faults;

    /// <summary>How many requests went wrong.</summary>
    public int Faults => _faults;

    public static bool IsPart(HttpRequestMessage request) => request.Method == HttpMethod.Put && Query(request).Contains("partNumber=", StringComparison.Ordinal);

    public static bool IsCompletion(HttpRequestMessage request) => request.Method == HttpMethod.Post && Query(request).StartsWith("?uploadId=", StringComparison.Ordinal);

    public override HttpClient CreateHttpClient(IClientConfig clientConfig) => new(new Handler(this));

    public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;

    private static string Query(HttpRequestMessage request) => request.RequestUri!.Query;

    private sealed class Handler(FaultyS3Client owner) : DelegatingHandler(new SocketsHttpHandler())
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var fault = owner.Choose(request);
            var (status, said) = fault switch
            {
                Fault.Refuse => (HttpStatusCode.InternalServerError, "<Error><Code>InternalError</Code><Message>test</Message></Error>"),
                Fault.Throttle => (HttpStatusCode.ServiceUnavailable, "<Error><Code>SlowDown</Code><Message>test</Message></Error>"),
                Fault.Forbid => (HttpStatusCode.Forbidden, "<Error><Code>AccessDenied</Code><Message>test</Message></Error>"),
                Fault.Take => (HttpStatusCode.OK, "<ListMultipartUploadsResult></ListMultipartUploadsResult>"),
                _ => default,
            };
            if (said is not null)
            {
                return new HttpResponseMessage(status) { RequestMessage = request, Content = new StringContent(said) };
            }

            var answer = await base.SendAsync(request, cancellationToken);
            if (fault == Fault.LoseAnswer)
            {
                answer.Dispose();
                throw new HttpRequestException("The connection broke.", new IOException("Connection reset by peer"));
            }

            return answer;
        }
    }

    private Fault Choose(HttpRequestMessage request)
    {
        var fault = choose(request);
        if (fault != Fault.None)
        {
            Interlocked.Increment(ref _faults);
        }

        return fault;
    }
}

using System.Net;

namespace Exporter.Exports.Destinations;

/// <summary>HTTP for a warehouse's REST API.</summary>
internal static class RestClient
{
    /// <summary>Follows nobody, which would also take a 308 with a Location for an answer of another kind; how long an answer may take says the caller.</summary>
    public static HttpClient New(Uri address) => new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        AutomaticDecompression = DecompressionMethods.GZip,
        ConnectTimeout = TimeSpan.FromSeconds(15),
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
    })
    {
        BaseAddress = address,
        Timeout = Timeout.InfiniteTimeSpan,
    };
}

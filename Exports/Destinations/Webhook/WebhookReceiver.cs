using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>A URL that messages go to.</summary>
/// <param name="Address">The URL.</param>
/// <param name="Name">The URL without what may be secret, for logs, tables and errors.</param>
/// <param name="Key">Says which URL it is whatever their order, and nothing of it.</param>
/// <param name="Setting">The setting that it was given by.</param>
internal sealed record WebhookReceiver(Uri Address, string Name, string Key, string Setting)
{
    // Where clouds keep the credentials of their machines.
    private static readonly IPAddress[] Metadata = [IPAddress.Parse("fd00:ec2::254"), IPAddress.Parse("100.100.100.200"), IPAddress.Parse("168.63.129.16")];

    /// <summary>All receivers, in their order.</summary>
    /// <exception cref="UserErrorException">One is no URL that messages may go to.</exception>
    public static IReadOnlyList<WebhookReceiver> All(WebhookOptions options) =>
    [
        .. Split(options.Url).Select(url => Of(WebhookOptions.UrlSetting, url)),
        .. Split(options.SecretUrl).Select(url => Of(WebhookOptions.SecretUrlSetting, url)),
    ];

    /// <summary>A client that follows nobody, and goes nowhere that no receiver may be.</summary>
    public static HttpClient NewClient() => new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectCallback = ConnectAsync,
        ConnectTimeout = TimeSpan.FromSeconds(15),
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        MaxResponseHeadersLength = 16,
    })
    {
        Timeout = Timeout.InfiniteTimeSpan,
    };

    /// <summary>Connects; an address that no receiver may have is refused here, after its name was looked up, so that no name leads there.</summary>
    public static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var (host, port) = (context.DnsEndPoint.Host, context.DnsEndPoint.Port);
        var found = await Dns.GetHostAddressesAsync(host, cancellationToken).ConfigureAwait(false);
        var allowed = Array.FindAll(found, MayBeReached);
        if (allowed.Length == 0)
        {
            throw new UserErrorException(
                WebhookOptions.UrlSetting, $"{host} is an address of this machine's own network link, where clouds keep credentials.", "Give the URL of a receiver.");
        }

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(allowed, port, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>For logs: nothing secret.</summary>
    public override string ToString() => Name;

    internal static bool MayBeReached(IPAddress address)
    {
        var plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        return plain.AddressFamily == AddressFamily.InterNetwork
            ? plain.GetAddressBytes() is not [169, 254, ..] && !Metadata.Contains(plain)
            : !plain.IsIPv6LinkLocal && !Metadata.Contains(plain);
    }

    private static WebhookReceiver Of(string setting, string url)
    {
        var secret = setting == WebhookOptions.SecretUrlSetting;
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https") || address.Host.Length == 0)
        {
            throw new UserErrorException(setting, secret ? "The value is no URL." : $"\"{url}\" is no URL.", "Begin it with https:// or http://.");
        }

        if (address.UserInfo.Length > 0)
        {
            throw new UserErrorException(setting, $"The URL of {address.Host} has a user name in it.", "Give credentials in secret_headers.");
        }

        var name = address.GetLeftPart(secret ? UriPartial.Authority : UriPartial.Path);
        var key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(address.AbsoluteUri)))[..16];
        return new WebhookReceiver(address, secret ? name + "/***" : name, key, setting);
    }

    private static string[] Split(string urls) => urls.Split((char[])[' ', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}

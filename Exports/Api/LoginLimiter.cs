using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Api;

/// <summary>How often a password may be tried: by address, and by name from wherever.</summary>
internal sealed class LoginLimiter : IDisposable
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private readonly PartitionedRateLimiter<string> _addresses;
    private readonly PartitionedRateLimiter<string> _names;

    public LoginLimiter(BatchExportsApiOptions options)
    {
        _addresses = Of(options.LoginsPerAddress);
        _names = Of(options.LoginsPerName);
    }

    /// <summary>Counts a try.</summary>
    /// <exception cref="ApiProblemException">There were too many.</exception>
    public void Demand(HttpContext http, string name)
    {
        using var address = _addresses.AttemptAcquire(http.Connection.RemoteIpAddress?.ToString() ?? "");

        // However long a name is, it takes no more memory than any other.
        using var named = _names.AttemptAcquire(name.Length > 100 ? "" : name.ToUpperInvariant());
        if (!address.IsAcquired || !named.IsAcquired)
        {
            var wait = new[] { address, named }.Max(lease => lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? after : TimeSpan.Zero);
            throw new ApiProblemException(new(StatusCodes.Status429TooManyRequests, "Too many logins", "Too many logins were tried.", null, "Wait a while.")
            {
                RetryAfter = wait > TimeSpan.Zero ? wait : Window,
            });
        }
    }

    public void Dispose()
    {
        _addresses.Dispose();
        _names.Dispose();
    }

    private static PartitionedRateLimiter<string> Of(int permits) => PartitionedRateLimiter.Create<string, string>(key => RateLimitPartition.GetFixedWindowLimiter(
        key, _ => new FixedWindowRateLimiterOptions { PermitLimit = permits, Window = Window, QueueLimit = 0, AutoReplenishment = true }));
}

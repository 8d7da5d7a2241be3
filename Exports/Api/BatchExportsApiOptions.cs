using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Api;

/// <summary>How the HTTP API works.</summary>
public sealed record BatchExportsApiOptions
{
    /// <summary>Says who asks, for a host that knows its users itself; null where it does not, then API keys and sessions of our own are looked at.
    /// A host whose browsers send cookies has to refuse requests of other sites itself. Default none.</summary>
    public Func<HttpContext, ValueTask<Caller?>>? Authenticate { get; init; }

    /// <summary>Logins that one address may try in a minute. Default 30; from 1 to 10,000.</summary>
    public int LoginsPerAddress { get; init; } = 30;

    /// <summary>Logins that may be tried with one name in a minute, from wherever. Default 10; from 1 to 10,000.</summary>
    public int LoginsPerName { get; init; } = 10;

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="Destinations.UserErrorException">A value is out of the range that its property states.</exception>
    public BatchExportsApiOptions Validate()
    {
        ModelCheck.Range("logins_per_address", LoginsPerAddress, 1, 10_000);
        ModelCheck.Range("logins_per_name", LoginsPerName, 1, 10_000);
        return this;
    }
}

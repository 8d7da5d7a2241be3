using System.Runtime.CompilerServices;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>Tries what an export will do at a destination, before it is stored or when somebody asks.</summary>
internal static class DestinationTrial
{
    /// <summary>The steps, up to the first that fails.</summary>
    public static async IAsyncEnumerable<CheckResult> ChecksAsync(Destination destination, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var open = DestinationKinds.Open(destination, new FormatOptions());
        await using var closing = open.ConfigureAwait(false);
        await foreach (var check in open.CheckAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return check;
        }
    }

    /// <summary>All of its steps.</summary>
    public static async Task<IReadOnlyList<CheckResult>> ListAsync(Destination destination, CancellationToken cancellationToken)
    {
        var checks = new List<CheckResult>();
        await foreach (var check in ChecksAsync(destination, cancellationToken).ConfigureAwait(false))
        {
            checks.Add(check);
        }

        return checks;
    }

    /// <summary>Tests a destination.</summary>
    /// <exception cref="UserErrorException">A step fails.</exception>
    public static async Task DemandAsync(Destination destination, string advice, CancellationToken cancellationToken)
    {
        await foreach (var check in ChecksAsync(destination, cancellationToken).ConfigureAwait(false))
        {
            if (!check.Ok)
            {
                throw new UserErrorException("destination", $"The test of the destination failed at \"{check.Step}\": {check.Detail}", advice);
            }
        }
    }
}

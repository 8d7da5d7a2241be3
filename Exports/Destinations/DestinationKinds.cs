using Exporter.Exports.Destinations.AzureBlob;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Destinations.Postgres;
using Exporter.Exports.Destinations.Redshift;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Destinations.Snowflake;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>Every kind of destination. A new one is one folder and one line here.</summary>
public static class DestinationKinds
{
    /// <summary>All kinds, in the order of the help.</summary>
    public static IReadOnlyList<DestinationKind> All { get; } =
    [
        FilesOptions.Kind,
        S3Options.Kind,
        AzureBlobOptions.Kind,
        PostgresOptions.Kind,
        SnowflakeOptions.Kind,
        RedshiftOptions.Kind,
        BigQueryOptions.Kind,
        WebhookOptions.Kind,
    ];

    /// <summary>A kind by its name.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public static DestinationKind Get(string name) => All.FirstOrDefault(kind => kind.Name == name) ?? throw new UserErrorException(
        "kind", $"There is no kind of destination named \"{name}\".", $"The kinds are {string.Join(", ", All.Select(kind => kind.Name))}.");

    /// <summary>Opens a destination for runs that write a format.</summary>
    /// <exception cref="UserErrorException">A setting is unknown, missing or out of range.</exception>
    public static IDestination Open(Destination destination, FormatOptions format)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var kind = Get(destination.Kind);
        kind.Check(destination);
        return kind.Open(destination, format);
    }
}

using System.Text.Json;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>A kind's options, read from a destination's settings and secrets, whose names and types the kind has checked.</summary>
internal static class DestinationOptions
{
    public static T Read<T>(Destination destination) => destination.Configuration().Deserialize<T>(ExportJson.Options)!;
}

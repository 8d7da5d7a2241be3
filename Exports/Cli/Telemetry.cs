using System.Collections;
using Exporter.Exports.Destinations;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Resources;

namespace Exporter.Exports.Cli;

/// <summary>Sends metrics and traces to where the standard variables of OpenTelemetry say; without them, nowhere.</summary>
internal static class Telemetry
{
    /// <summary>The engine's meter and activity source.</summary>
    public const string Source = "Exporter.Engine";

    public static void AddTo(IHostApplicationBuilder builder)
    {
        // The worker's host reads no configuration; OpenTelemetry takes its variables from there.
        var variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Select(variable => KeyValuePair.Create((string)variable.Key, (string?)variable.Value))
            .Where(variable => variable.Key.StartsWith("OTEL_", StringComparison.Ordinal) && !string.IsNullOrEmpty(variable.Value))
            .ToDictionary();
        if (!variables.Keys.Any(name => name is "OTEL_EXPORTER_OTLP_ENDPOINT" or "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" or "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"))
        {
            return;
        }

        builder.Configuration.AddInMemoryCollection(variables);
        builder.Services.AddOpenTelemetry()
            .ConfigureResource(Name)
            .WithMetrics(metrics => metrics.AddMeter(Source, DestinationMetrics.MeterName))
            .WithTracing(traces => traces.AddSource(Source))
            .UseOtlpExporter();
    }

    /// <summary>The name of this service, unless the standard variable has one.</summary>
    public static void Name(ResourceBuilder resource)
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable("OTEL_SERVICE_NAME")))
        {
            resource.AddService("exporter");
        }
    }
}

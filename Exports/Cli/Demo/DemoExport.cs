using System.Text.Json.Nodes;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Cli.Demo;

/// <summary>The demo's destination, a folder, and its daily export, paused.</summary>
internal static class DemoExport
{
    public static async Task<BatchExportView> CreateAsync(
        NpgsqlDataSource data, PayloadCodec codec, string folder, ExportSettings settings, string note, CancellationToken cancellationToken)
    {
        await new DestinationStore(data, codec).CreateAsync(
            new Destination { Name = "files", Kind = "files", Settings = new JsonObject { ["root"] = folder } }, "demo", cancellationToken).ConfigureAwait(false);
        return await new BatchExportStore(data, new EngineClient(data, codec), new ScheduleClient(data, codec)).CreateAsync(
            new BatchExport
            {
                Name = "events",
                DestinationId = Guid.Empty,
                Model = DemoData.Model,
                Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) },
                Settings = settings,
                Paused = true,
                Note = note,
            },
            "files",
            "demo",
            cancellationToken).ConfigureAwait(false);
    }
}

using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>A receiver, destinations that lead to it, and rows to export.</summary>
internal sealed class WebhookFixture : IAsyncDisposable
{
    private WebhookFixture(string secret, WebhookServer server) => (Secret, Server) = (secret, server);

    public static DataInterval Day { get; } = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    public string Secret { get; }

    public WebhookServer Server { get; }

    public static async Task<WebhookFixture> StartAsync()
    {
        var secret = WebhookServer.NewSecret();
        return new WebhookFixture(secret, await WebhookServer.StartAsync(secret));
    }

    public ValueTask DisposeAsync() => Server.DisposeAsync();

    /// <summary>The value of a row.</summary>
    public static string Value(int row) => $"row {row}";

    /// <summary>Rows as they arrive.</summary>
    public static string[] Rows(int from, int count) => [.. Enumerable.Range(from, count).Select(row => $$"""{"value":"{{Value(row)}}"}""")];

    public static SliceAddress Slice(int attempt = 1, long token = 1, ISliceProgress? progress = null) => new("events", Day, 0, attempt, token) { Progress = progress };

    /// <summary>Writes the rows of a slice and commits it.</summary>
    public static async Task<SliceReceipt> ExportAsync(IDestination destination, SliceAddress address, int rows, int from = 0)
    {
        await using var sink = await destination.OpenSliceAsync(address, SliceRows.Schema, CancellationToken.None);
        return await ExportAsync(sink, rows, from);
    }

    public static async Task<SliceReceipt> ExportAsync(ISliceSink sink, int rows, int from = 0)
    {
        foreach (var batch in Enumerable.Range(from, rows).Chunk(9))
        {
            await WriteAsync(sink, [.. batch.Select(Value)]);
        }

        return await sink.CommitAsync(CancellationToken.None);
    }

    public static async Task WriteAsync(ISliceSink sink, params string[] values)
    {
        using var batch = SliceRows.Batch(values);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    /// <summary>A destination that leads to the receiver, unless these settings say otherwise.</summary>
    public WebhookDestination Open(params (string Setting, object Value)[] given)
    {
        var settings = new JsonObject { ["url"] = Server.Address.ToString() };
        var secrets = new Dictionary<string, string> { ["secret"] = Secret };
        foreach (var (setting, value) in given)
        {
            if (setting.StartsWith("secret", StringComparison.Ordinal))
            {
                secrets[setting] = (string)value;
            }
            else
            {
                settings[setting] = value switch { int number => JsonValue.Create(number), bool yes => JsonValue.Create(yes), _ => JsonValue.Create((string)value) };
            }
        }

        return (WebhookDestination)DestinationKinds.Open(
            new Destination { Name = "hook", Kind = "webhook", Settings = settings, Secrets = secrets }, new FormatOptions());
    }
}

using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>Sends each receiver a signed message without rows, twice under one id, as a lost answer would make it.</summary>
internal sealed class WebhookCheck(WebhookDestination destination, IReadOnlyList<WebhookEndpoint> endpoints, MessageBody body)
{
    private readonly string _id = $"msg_check_{Guid.NewGuid():N}";

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [
            ("connect", ConnectAsync),
            ("permissions", token => SendAsync("A signed message without rows was acknowledged by", token)),
            ("write", token => SendAsync("The same message under the same id was acknowledged again by", token)),
            ("read back", _ => Task.FromResult("A webhook cannot be read; that ids are honoured is the receiver's to keep.")),
            ("clean up", _ => Task.FromResult("Nothing was left but the id of a message without rows.")),
        ],
        () => Task.CompletedTask,
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        foreach (var endpoint in endpoints)
        {
            await endpoint.ConnectAsync(cancellationToken).ConfigureAwait(false);
        }

        return $"{Names()} can be reached.";
    }

    private async Task<string> SendAsync(string what, CancellationToken cancellationToken)
    {
        var now = DateTimeOffset.UnixEpoch;
        var empty = body.Render(new MessageParts(
            new SliceAddress("exporter-check", new DataInterval(now, now.AddDays(1)), 0, 1, 1), 0, _id, body.NoRows));
        foreach (var endpoint in endpoints)
        {
            await endpoint.SendAsync(_id, empty, arrived: null, cancellationToken).ConfigureAwait(false);
        }

        return $"{what} {Names()}.";
    }

    private string Names() => string.Join(", ", endpoints.Select(endpoint => endpoint.Receiver.Name));
}

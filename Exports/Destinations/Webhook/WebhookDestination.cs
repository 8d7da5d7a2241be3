using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>Messages to receivers. Nothing appears at once there: how far a slice is says <see cref="ISliceProgress"/>.</summary>
internal sealed class WebhookDestination : IDestination
{
    private readonly WebhookOptions _options;
    private readonly FormatOptions _format;
    private readonly MessageBody _body;
    private readonly HttpClient _http;
    private readonly IReadOnlyList<WebhookEndpoint> _endpoints;

    public WebhookDestination(WebhookOptions options, FormatOptions format, TimeProvider? time = null)
    {
        _options = options;
        _format = format;
        _body = MessageBody.Of(options);
        _http = WebhookReceiver.NewClient();
        _endpoints = [.. WebhookReceiver.All(options).Select(receiver => new WebhookEndpoint(receiver, options, _http, _body.ContentType, time ?? TimeProvider.System))];
    }

    public RowOrder Order => _options.InOrder ? RowOrder.InRun : RowOrder.InSlice;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new WebhookCheck(this, _endpoints, _body).RunAsync(cancellationToken);

    public Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken) => Task.FromResult<ISliceSink>(
        new WebhookSliceSink(_endpoints, _options, new MessageCutter(_options, _format, _body, address, schema), address));

    /// <summary>Nothing: a slice of which something was delivered is not given up.</summary>
    public Task DiscardSliceAsync(SliceAddress address, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Nothing: every row is where it belongs once its slice is committed.</summary>
    public Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Sends a message that was kept aside once more, under its id.</summary>
    public Task ResendAsync(string receiverKey, string messageId, ReadOnlyMemory<byte> body, CancellationToken cancellationToken)
    {
        var endpoint = _endpoints.FirstOrDefault(endpoint => endpoint.Receiver.Key == receiverKey) ?? throw new UserErrorException(
            WebhookOptions.UrlSetting, "The destination has no such URL any more.", "Delete the dead letter, or give the URL back.");
        return endpoint.SendAsync(messageId, body, arrived: null, cancellationToken);
    }

    public ExportError? Classify(Exception exception) => WebhookErrors.Sort(exception);

    public ValueTask DisposeAsync()
    {
        foreach (var endpoint in _endpoints)
        {
            endpoint.Dispose();
        }

        _http.Dispose();
        return ValueTask.CompletedTask;
    }
}

using System.Globalization;
using System.IO.Compression;
using System.Net.Http.Headers;
using System.Text;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// One receiver, for all slices of a run: signs and sends a message, again while that may help, and keeps to its pace. Every try
/// has the same id and a new time.
/// </summary>
internal sealed class WebhookEndpoint(WebhookReceiver receiver, WebhookOptions options, HttpClient http, string contentType, TimeProvider time) : IDisposable
{
    private const int Tries = 3;
    private const int LongestText = 200;

    // Longer waits give the slot back; and an attempt must show signs of life.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly WebhookSignature _signature = new(options.Secret);
    private readonly IReadOnlyList<KeyValuePair<string, string>> _headers = WebhookHeaders.Of(options);
    private readonly SemaphoreSlim _atOnce = new(options.AtOnce);
    private readonly Lock _pacing = new();
    private DateTimeOffset _nextSlot;
    private DateTimeOffset _notBefore;

    public WebhookReceiver Receiver => receiver;

    /// <summary>Delivers a message; returns when the receiver has said that it has it.</summary>
    /// <param name="id">The message's id.</param>
    /// <param name="body">Its body, before compression.</param>
    /// <param name="arrived">Told the bytes of the body whenever a try was answered, whatever the answer; null: nobody.</param>
    /// <param name="cancellationToken">Cancels it.</param>
    /// <exception cref="WebhookAnswerException">It said otherwise.</exception>
    /// <exception cref="WebhookSilenceException">It said nothing.</exception>
    public async Task SendAsync(string id, ReadOnlyMemory<byte> body, Action<int>? arrived, CancellationToken cancellationToken)
    {
        await _atOnce.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var bytes = options.Gzip ? Compress(body) : body;
            var start = time.GetTimestamp();
            for (var attempt = 1; ; attempt++)
            {
                await PaceAsync(cancellationToken).ConfigureAwait(false);
                try
                {
                    await TryAsync(id, bytes, arrived, cancellationToken).ConfigureAwait(false);
                    return;
                }
                catch (WebhookAnswerException answer) when (
                    answer is { IsPassing: true, RetryAfter: { } wait } && wait <= LongestWait && time.GetElapsedTime(start) < Patience)
                {
                    // PaceAsync waits as long as it was asked to.
                }
                catch (Exception error) when (attempt < Tries && MayPass(error))
                {
                    await Task.Delay(TimeSpan.FromSeconds(Math.Pow(2, attempt - 2) * (0.75 + (0.5 * Random.Shared.NextDouble()))), time, cancellationToken).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            _atOnce.Release();
        }
    }

    /// <summary>Whether anybody answers there, whatever the answer.</summary>
    public async Task ConnectAsync(CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Options, receiver.Address);
        await AnswerAsync(request, static (_, _) => Task.CompletedTask, cancellationToken).ConfigureAwait(false);
    }

    public void Dispose() => _atOnce.Dispose();

    private static bool MayPass(Exception error) => error is WebhookAnswerException { RetryAfter: null }
        ? WebhookErrors.Sort(error) is { Kind: ErrorKind.Transient or ErrorKind.Throttled }
        : error is WebhookSilenceException && WebhookErrors.Sort(error) is { Kind: ErrorKind.Transient };

    private async Task TryAsync(string id, ReadOnlyMemory<byte> body, Action<int>? arrived, CancellationToken cancellationToken)
    {
        using var request = Request(id, body);
        await AnswerAsync(
            request,
            async (answer, token) =>
            {
                arrived?.Invoke(body.Length);
                if (!answer.IsSuccessStatusCode)
                {
                    throw await RefusedAsync(answer, token).ConfigureAwait(false);
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    private async Task AnswerAsync(HttpRequestMessage request, Func<HttpResponseMessage, CancellationToken, Task> read, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(options.TimeoutSeconds));
        try
        {
            using var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token).ConfigureAwait(false);
            await read(answer, limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException error) when (!cancellationToken.IsCancellationRequested)
        {
            throw new WebhookSilenceException(
                receiver, string.Create(CultureInfo.InvariantCulture, $"did not answer within {options.TimeoutSeconds} s."), error);
        }
        catch (Exception error) when (error is HttpRequestException or IOException)
        {
            throw new WebhookSilenceException(receiver, $"cannot be reached: {error.InnerException?.Message ?? error.Message}", error);
        }
    }

    private HttpRequestMessage Request(string id, ReadOnlyMemory<byte> body)
    {
        var timestamp = time.GetUtcNow().ToUnixTimeSeconds();
        var request = new HttpRequestMessage(HttpMethod.Post, receiver.Address) { Content = new ReadOnlyMemoryContent(body) };
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        if (options.Gzip)
        {
            request.Content.Headers.ContentEncoding.Add("gzip");
        }

        request.Headers.Add("webhook-id", id);
        request.Headers.Add("webhook-timestamp", timestamp.ToString(CultureInfo.InvariantCulture));
        request.Headers.Add("webhook-signature", _signature.Of(id, timestamp, body.Span));
        request.Headers.Add("Idempotency-Key", id);
        request.Headers.TryAddWithoutValidation("User-Agent", "exporter");
        foreach (var (name, value) in _headers)
        {
            request.Headers.Remove(name);
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return request;
    }

    private async Task<WebhookAnswerException> RefusedAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        var wait = RetryAfter.Of(answer.Headers.TryGetValues("Retry-After", out var asked) ? asked.FirstOrDefault() : null, time);
        if (wait is { } pause)
        {
            lock (_pacing)
            {
                _notBefore = time.GetUtcNow() + pause;
            }
        }

        var text = answer.Headers.Location is { } location ? $"go to {location.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped)}" : await TextAsync(answer, cancellationToken).ConfigureAwait(false);
        return new WebhookAnswerException(receiver, answer.StatusCode, text, wait);
    }

    // The beginning of what it says, in one line. It may be anything, and it may never end.
    private static async Task<string> TextAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        try
        {
            var stream = await answer.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = stream.ConfigureAwait(false);
            var buffer = new byte[LongestText];
            var length = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
            var text = Encoding.UTF8.GetString(buffer, 0, length);
            return string.Concat(text.Select(letter => char.IsControl(letter) || letter == '\ufffd' ? ' ' : letter)).Trim();
        }
        catch (Exception error) when (error is IOException or HttpRequestException)
        {
            return "";
        }
    }

    // A slot is taken before it is waited for, so that many senders keep the pace together.
    private async Task PaceAsync(CancellationToken cancellationToken)
    {
        TimeSpan wait;
        lock (_pacing)
        {
            var now = time.GetUtcNow();
            if (_notBefore - now > LongestWait)
            {
                throw new WebhookAnswerException(receiver, System.Net.HttpStatusCode.TooManyRequests, "it has asked for a pause.", _notBefore - now);
            }

            var slot = now > _notBefore ? now : _notBefore;
            if (options.RequestsPerSecond is { } rate)
            {
                slot = slot > _nextSlot ? slot : _nextSlot;
                _nextSlot = slot + (TimeSpan.FromSeconds(1) / rate);
            }

            wait = slot - now;
        }

        if (wait > TimeSpan.Zero)
        {
            await Task.Delay(wait, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private static ReadOnlyMemory<byte> Compress(ReadOnlyMemory<byte> body)
    {
        using var output = new MemoryStream();
        using (var gzip = new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(body.Span);
        }

        return output.GetBuffer().AsMemory(0, (int)output.Length);
    }
}

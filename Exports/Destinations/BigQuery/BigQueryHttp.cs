using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using Google.Apis.Auth.OAuth2.Responses;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A request.</summary>
internal sealed record BigQueryRequest(HttpMethod Method, string Url)
{
    /// <summary>The body, anew for each try; null when there is none.</summary>
    public Func<HttpContent>? Content { get; init; }

    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>Statuses beside 2xx that are an answer and no error.</summary>
    public IReadOnlyList<int> Answers { get; init; } = [];

    /// <summary>Whether only one try is made, as whoever asks has something to look at before the next.</summary>
    public bool Once { get; init; }
}

/// <summary>An answer.</summary>
internal sealed record BigQueryAnswer(int Status, JsonDocument Body, HttpResponseHeaders Headers) : IDisposable
{
    public JsonElement Root => Body.RootElement;

    public void Dispose() => Body.Dispose();
}

/// <summary>
/// One request at BigQuery's REST API, again while that may help: with a new token after 401, later after 429, 5xx and silence. All of
/// them are such that a repeat does nothing twice: jobs have names, tables too.
/// </summary>
internal sealed class BigQueryHttp : IDisposable
{
    /// <summary>How often a request is tried.</summary>
    public const int Tries = 5;

    // Longer waits give the slot back.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    // https://cloud.google.com/bigquery/docs/reference/api-uploads has no time; a chunk of 100 MB at 1 MB/s takes less.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(120);

    private readonly BigQueryOptions _options;
    private readonly TimeProvider _time;
    private readonly BigQueryCredentials _credentials;
    private readonly HttpClient _http;

    public BigQueryHttp(BigQueryOptions options, TimeProvider time, TimeSpan pause)
    {
        (_options, _time, Pause) = (options, time, pause);
        _credentials = new BigQueryCredentials(options, time);
        _http = RestClient.New(options.Url);
    }

    /// <summary>The first pause before a repeat.</summary>
    public TimeSpan Pause { get; }

    /// <summary>Waits, some more or less than it is told.</summary>
    public Task WaitAsync(TimeSpan pause, CancellationToken cancellationToken) =>
        Task.Delay(pause * (0.75 + (0.5 * Random.Shared.NextDouble())), _time, cancellationToken);

    public async Task<BigQueryAnswer> AskAsync(BigQueryRequest request, CancellationToken cancellationToken)
    {
        var pause = Pause;
        var renew = false;
        for (var attempt = 1; ; attempt++)
        {
            BigQueryException error;
            try
            {
                var answer = await OnceAsync(request, renew, cancellationToken).ConfigureAwait(false);
                if (answer.Status is >= 200 and < 300 || request.Answers.Contains(answer.Status))
                {
                    return answer;
                }

                using (answer)
                {
                    error = Refused(answer);
                }
            }
            catch (TokenResponseException refused) when ((int?)refused.StatusCode is >= 500 or 429)
            {
                error = new BigQueryException($"Tokens are not given out: {refused.Message}", refused);
            }
            catch (Exception lost) when (!cancellationToken.IsCancellationRequested && lost is HttpRequestException or IOException or OperationCanceledException or JsonException)
            {
                error = new BigQueryException(What(lost), lost);
            }

            var wait = error.RetryAfter ?? TimeSpan.Zero;
            var again = error.Status == 401 ? !renew : attempt < Tries && !request.Once && wait <= LongestWait && BigQueryErrors.IsPassing(error);
            if (!again)
            {
                throw error;
            }

            renew = error.Status == 401;
            await (wait > TimeSpan.Zero ? Task.Delay(wait, _time, cancellationToken) : WaitAsync(pause, cancellationToken)).ConfigureAwait(false);
            pause *= 2;
        }
    }

    public void Dispose()
    {
        _http.Dispose();
        _credentials.Dispose();
    }

    /// <summary>What an answer that was let through says after all.</summary>
    public BigQueryException Refused(BigQueryAnswer answer)
    {
        // { "error": { "code", "message", "errors": [{ "domain", "reason", "message" }], "status" } }
        var error = answer.Root.ValueKind == JsonValueKind.Object && answer.Root.TryGetProperty("error", out var found) && found.ValueKind == JsonValueKind.Object ? found : default;
        var first = error.ValueKind == JsonValueKind.Object && error.TryGetProperty("errors", out var errors) && errors.ValueKind == JsonValueKind.Array && errors.GetArrayLength() > 0 ? errors[0] : default;
        var text = Text(error, "message");
        return new BigQueryException(text.Length > 0 ? text : string.Create(CultureInfo.InvariantCulture, $"{_options.Url.Host} answered with status {answer.Status}."))
        {
            Status = answer.Status,
            Reason = Text(first, "reason"),
            RetryAfter = RetryAfter.Of(answer.Headers.RetryAfter, _time),
        };
    }

    /// <summary>A text of an object; nothing when it has none.</summary>
    public static string Text(JsonElement element, string name) => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value)
        ? value.ValueKind switch { JsonValueKind.String => value.GetString()!, JsonValueKind.Null => "", _ => value.GetRawText() }
        : "";

    private async Task<BigQueryAnswer> OnceAsync(BigQueryRequest request, bool renew, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Silence);
        using var message = new HttpRequestMessage(request.Method, request.Url) { Content = request.Content?.Invoke() };
        if (await _credentials.TokenAsync(renew, limit.Token).ConfigureAwait(false) is { } token)
        {
            message.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        message.Headers.Accept.ParseAdd("application/json");
        message.Headers.UserAgent.ParseAdd("exporter/1.0");
        foreach (var (name, value) in request.Headers)
        {
            if (!message.Headers.TryAddWithoutValidation(name, value))
            {
                message.Content!.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using var answer = await _http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, limit.Token).ConfigureAwait(false);
        var content = await answer.Content.ReadAsByteArrayAsync(limit.Token).ConfigureAwait(false);
        return new BigQueryAnswer((int)answer.StatusCode, Document(answer, content), answer.Headers);
    }

    // Some answers have no body, and what stands between answers in its own way.
    private static JsonDocument Document(HttpResponseMessage answer, byte[] content)
    {
        try
        {
            return JsonDocument.Parse(content.Length == 0 ? "{}"u8.ToArray() : content);
        }
        catch (JsonException) when (!answer.IsSuccessStatusCode)
        {
            return JsonDocument.Parse("{}");
        }
    }

    private static string What(Exception lost) => lost switch
    {
        OperationCanceledException => string.Create(CultureInfo.InvariantCulture, $"Nothing was answered within {Silence.TotalSeconds:0} s."),
        JsonException => "The answer is no JSON.",
        _ => lost.InnerException?.Message ?? lost.Message,
    };
}

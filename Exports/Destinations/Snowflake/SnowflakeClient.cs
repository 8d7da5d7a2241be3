using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Snowflake's SQL API, version 2: https://docs.snowflake.com/en/developer-guide/sql-api/reference. A request whose answer is lost is sent
/// again with the same id and <c>retry=true</c>; that it is then not executed twice is a help and no promise, so statements must be
/// such that a repeat changes nothing.
/// </summary>
internal sealed class SnowflakeClient : ISnowflakeClient
{
    private const int Tries = 5;

    // Longer waits give the slot back.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestPoll = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CancelLimit = TimeSpan.FromSeconds(5);

    // A statement is answered, or said to be still under way, within 45 s.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(90);

    private readonly SnowflakeOptions _options;
    private readonly TimeProvider _time;
    private readonly SnowflakeCredentials _credentials;
    private readonly HttpClient _http;
    private readonly TimeSpan _pause;

    /// <summary>Makes a client; it connects when it is first used.</summary>
    /// <param name="options">The account and who asks.</param>
    /// <param name="time">The clock.</param>
    /// <param name="pause">How long to wait before the first repeat and the second look. Default 200 ms.</param>
    public SnowflakeClient(SnowflakeOptions options, TimeProvider time, TimeSpan? pause = null)
    {
        (_options, _time, _pause) = (options, time, pause ?? TimeSpan.FromMilliseconds(200));
        _http = RestClient.New(options.Url);
        _credentials = new SnowflakeCredentials(options, _http, time);
    }

    public Task<SnowflakeResult> ExecuteAsync(string statement, CancellationToken cancellationToken) => RunAsync([statement], null, cancellationToken);

    public Task<SnowflakeResult> ExecuteAllAsync(IReadOnlyList<string> statements, int answer, CancellationToken cancellationToken) =>
        RunAsync(statements, answer, cancellationToken);

    public void Dispose()
    {
        _http.Dispose();
        _credentials.Dispose();
    }

    private async Task<SnowflakeResult> RunAsync(IReadOnlyList<string> statements, int? answer, CancellationToken cancellationToken)
    {
        using var done = await DoneAsync(await SubmitAsync(statements, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        if (answer is null)
        {
            return await ReadAsync(done.Body.RootElement, cancellationToken).ConfigureAwait(false);
        }

        // The answer to several has no rows; each has a handle of its own.
        var handle = done.Body.RootElement.GetProperty("statementHandles")[answer.Value].GetString()!;
        var asked = await AskAsync(HttpMethod.Get, $"api/v2/statements/{Uri.EscapeDataString(handle)}", null, cancellationToken).ConfigureAwait(false);
        using var child = await DoneAsync(asked, cancellationToken).ConfigureAwait(false);
        return await ReadAsync(child.Body.RootElement, cancellationToken).ConfigureAwait(false);
    }

    private Task<Answer> SubmitAsync(IReadOnlyList<string> statements, CancellationToken cancellationToken)
    {
        // The zone is the one that instants of Parquet files are read in.
        var parameters = new Dictionary<string, string> { ["TIMEZONE"] = "UTC", ["QUERY_TAG"] = "exporter" };
        if (statements.Count > 1)
        {
            parameters["MULTI_STATEMENT_COUNT"] = statements.Count.ToString(CultureInfo.InvariantCulture);
        }

        var body = new Dictionary<string, object>
        {
            ["statement"] = string.Join(";\n", statements), ["timeout"] = _options.Timeout, ["warehouse"] = _options.WarehouseName, ["parameters"] = parameters,
        };
        if (_options.RoleName is { } role)
        {
            body["role"] = role;
        }

        return AskAsync(HttpMethod.Post, $"api/v2/statements?requestId={Guid.NewGuid()}", JsonSerializer.SerializeToUtf8Bytes(body), cancellationToken);
    }

    // 202: it is still under way; statementStatusUrl says where to look.
    private async Task<Answer> DoneAsync(Answer answer, CancellationToken cancellationToken)
    {
        var pause = _pause;
        while (answer.Status == 202)
        {
            string handle, url;
            using (answer)
            {
                var root = answer.Body.RootElement;
                (handle, url) = (Text(root, "statementHandle"), Text(root, "statementStatusUrl").TrimStart('/'));
            }

            try
            {
                await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);
                pause = pause * 1.5 < LongestPoll ? pause * 1.5 : LongestPoll;
                answer = await AskAsync(HttpMethod.Get, url, null, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                await CancelAsync(handle).ConfigureAwait(false);
                throw;
            }
        }

        return answer;
    }

    // Nobody waits for it any more; if this does not reach it, its timeout does.
    private async Task CancelAsync(string handle)
    {
        using var limit = new CancellationTokenSource(CancelLimit, _time);
        try
        {
            using var request = await RequestAsync(HttpMethod.Post, $"api/v2/statements/{Uri.EscapeDataString(handle)}/cancel", null, limit.Token).ConfigureAwait(false);
            using var answer = await _http.SendAsync(request, limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The same.
        }
    }

    private async Task<SnowflakeResult> ReadAsync(JsonElement root, CancellationToken cancellationToken)
    {
        var rows = new List<IReadOnlyList<string?>>();
        if (!root.TryGetProperty("resultSetMetaData", out var metadata))
        {
            return new SnowflakeResult([], rows);
        }

        var columns = metadata.GetProperty("rowType").EnumerateArray().Select(column => column.GetProperty("name").GetString()!).ToList();
        Add(rows, root);
        var partitions = metadata.TryGetProperty("partitionInfo", out var info) && info.ValueKind == JsonValueKind.Array ? info.GetArrayLength() : 1;
        for (var partition = 1; partition < partitions; partition++)
        {
            var url = string.Create(CultureInfo.InvariantCulture, $"api/v2/statements/{Uri.EscapeDataString(Text(root, "statementHandle"))}?partition={partition}");
            using var more = await AskAsync(HttpMethod.Get, url, null, cancellationToken).ConfigureAwait(false);
            Add(rows, more.Body.RootElement);
        }

        return new SnowflakeResult(columns, rows);
    }

    private static void Add(List<IReadOnlyList<string?>> rows, JsonElement answer)
    {
        if (answer.TryGetProperty("data", out var data) && data.ValueKind == JsonValueKind.Array)
        {
            rows.AddRange(data.EnumerateArray().Select(row => (IReadOnlyList<string?>)[.. row.EnumerateArray().Select(TextOf)]));
        }
    }

    private static string? TextOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.String => value.GetString(),
        _ => value.GetRawText(),
    };

    // One request, again while that may help: with a new token after 401, later after 429, and with retry=true when nobody knows
    // whether it was executed.
    private async Task<Answer> AskAsync(HttpMethod method, string url, byte[]? body, CancellationToken cancellationToken)
    {
        var pause = _pause;
        var renewed = false;
        for (var attempt = 1; ; attempt++)
        {
            var repeated = attempt > 1 && body is not null ? url + "&retry=true" : url;
            SnowflakeException error;
            try
            {
                var answer = await OnceAsync(method, repeated, body, cancellationToken).ConfigureAwait(false);
                if (answer.Status is 200 or 202)
                {
                    return answer;
                }

                using (answer)
                {
                    error = Refused(answer);
                }
            }
            catch (SnowflakeException refused)
            {
                // No access token was given.
                error = refused;
            }
            catch (Exception lost) when (!cancellationToken.IsCancellationRequested && lost is HttpRequestException or IOException or OperationCanceledException or JsonException)
            {
                error = new SnowflakeException(Scrub(What(lost)), lost);
            }

            var again = error.Status switch
            {
                401 => !renewed,
                429 or 503 => attempt < Tries && (error.RetryAfter ?? TimeSpan.Zero) <= LongestWait,
                0 or 500 or 502 or 504 => attempt < Tries && error.InnerException is not HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError },
                _ => false,
            };
            if (!again)
            {
                throw error;
            }

            renewed |= error.Status == 401;
            await Task.Delay(error.RetryAfter ?? (pause * (0.75 + (0.5 * Random.Shared.NextDouble()))), _time, cancellationToken).ConfigureAwait(false);
            pause *= 2;
        }
    }

    private async Task<Answer> OnceAsync(HttpMethod method, string url, byte[]? body, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Silence);
        using var request = await RequestAsync(method, url, body, limit.Token).ConfigureAwait(false);
        using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token).ConfigureAwait(false);
        if ((int)answer.StatusCode == 401)
        {
            _credentials.Forget(request.Headers.Authorization!.Parameter!);
        }

        var content = await answer.Content.ReadAsByteArrayAsync(limit.Token).ConfigureAwait(false);
        return new Answer((int)answer.StatusCode, Document(answer, content), RetryAfter.Of(answer.Headers.RetryAfter, _time));
    }

    private async Task<HttpRequestMessage> RequestAsync(HttpMethod method, string url, byte[]? body, CancellationToken cancellationToken)
    {
        var token = await _credentials.TokenAsync(cancellationToken).ConfigureAwait(false);
        var request = new HttpRequestMessage(method, url);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        request.Headers.Add("X-Snowflake-Authorization-Token-Type", _credentials.TokenType);
        request.Headers.Accept.ParseAdd("application/json");
        request.Headers.UserAgent.ParseAdd("exporter/1.0");
        if (method == HttpMethod.Post)
        {
            request.Content = new ByteArrayContent(body ?? []);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        return request;
    }

    // What stands between may answer too, and not in JSON.
    private static JsonDocument Document(HttpResponseMessage answer, byte[] content)
    {
        try
        {
            return JsonDocument.Parse(content);
        }
        catch (JsonException) when (!answer.IsSuccessStatusCode)
        {
            return JsonDocument.Parse("{}");
        }
    }

    private SnowflakeException Refused(Answer answer)
    {
        var root = answer.Body.RootElement;
        var text = Text(root, "message");
        var handle = Text(root, "statementHandle");
        return new SnowflakeException(Scrub(text.Length > 0 ? text : string.Create(CultureInfo.InvariantCulture, $"Snowflake answered with status {answer.Status}.")))
        {
            Status = answer.Status,
            Code = Text(root, "code"),
            SqlState = Text(root, "sqlState"),
            Handle = handle.Length > 0 ? handle : null,
            RetryAfter = answer.RetryAfter,
        };
    }

    private static string Text(JsonElement root, string name) => root.ValueKind == JsonValueKind.Object && root.TryGetProperty(name, out var value) ? TextOf(value) ?? "" : "";

    private static string What(Exception lost) => lost switch
    {
        OperationCanceledException => string.Create(CultureInfo.InvariantCulture, $"Nothing was answered within {Silence.TotalSeconds:0} s."),
        JsonException => "The answer is no JSON.",
        _ => lost.InnerException?.Message ?? lost.Message,
    };

    // A message may repeat a part of the statement, and COPY has keys in it.
    private string Scrub(string text)
    {
        foreach (var secret in _options.Secrets)
        {
            text = text.Replace(secret, "***", StringComparison.Ordinal);
        }

        return text;
    }

    private sealed record Answer(int Status, JsonDocument Body, TimeSpan? RetryAfter) : IDisposable
    {
        public void Dispose() => Body.Dispose();
    }
}

using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>BigQuery's REST API, version 2: https://cloud.google.com/bigquery/docs/reference/rest.</summary>
internal sealed class BigQueryClient : IBigQueryClient
{
    private static readonly TimeSpan LongestPoll = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CancelLimit = TimeSpan.FromSeconds(5);

    private readonly BigQueryOptions _options;
    private readonly TimeProvider _time;
    private readonly BigQueryHttp _http;
    private string? _location;

    /// <summary>Makes a client; it connects when it is first used.</summary>
    /// <param name="options">The project, the dataset, and who asks.</param>
    /// <param name="time">The clock.</param>
    /// <param name="pause">How long to wait before the first repeat and the second look. Default 200 ms.</param>
    public BigQueryClient(BigQueryOptions options, TimeProvider time, TimeSpan? pause = null)
    {
        (_options, _time, _location) = (options, time, options.Location);
        _http = new BigQueryHttp(options, time, pause ?? TimeSpan.FromMilliseconds(200));
    }

    private string Project => $"bigquery/v2/projects/{Uri.EscapeDataString(_options.Project)}";

    private string Tables => $"{Project}/datasets/{Uri.EscapeDataString(_options.Dataset)}/tables";

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/get
    public async Task<string> LocationAsync(CancellationToken cancellationToken)
    {
        using var answer = await _http.AskAsync(new(HttpMethod.Get, $"{Project}/datasets/{Uri.EscapeDataString(_options.Dataset)}"), cancellationToken).ConfigureAwait(false);
        return BigQueryHttp.Text(answer.Root, "location");
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/get
    public async Task<BigQueryTable?> FindAsync(string table, CancellationToken cancellationToken)
    {
        using var answer = await _http.AskAsync(new(HttpMethod.Get, $"{Tables}/{Uri.EscapeDataString(table)}") { Answers = [404] }, cancellationToken).ConfigureAwait(false);
        if (answer.Status == 404)
        {
            // Of a dataset that is not there it is 404 too.
            return answer.Root.GetRawText().Contains("Not found: Table", StringComparison.OrdinalIgnoreCase) ? null : throw _http.Refused(answer);
        }

        var root = JsonNode.Parse(answer.Root.GetRawText())!;
        return new BigQueryTable(table, root["etag"]?.GetValue<string>() ?? "", root["schema"]?["fields"]?.DeepClone().AsArray() ?? [], root["type"]?.GetValue<string>() ?? "TABLE");
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/insert
    public async Task CreateAsync(BigQueryNewTable table, CancellationToken cancellationToken)
    {
        var body = new JsonObject
        {
            ["tableReference"] = Reference(table.Name),
            ["schema"] = Schema(table.Columns),
        };
        if (table.Expires is { } expires)
        {
            body["expirationTime"] = expires.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
        }

        if (table.Partition is { } partition)
        {
            body["timePartitioning"] = new JsonObject { ["type"] = partition.Unit.ToUpperInvariant(), ["field"] = partition.Column };
        }

        if (table.Cluster.Count > 0)
        {
            body["clustering"] = new JsonObject { ["fields"] = new JsonArray([.. table.Cluster.Select(column => (JsonNode)column)]) };
        }

        AddLabels(body);
        using var answer = await _http.AskAsync(new(HttpMethod.Post, Tables) { Content = Json(body), Answers = [409] }, cancellationToken).ConfigureAwait(false);
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/patch: the whole schema, columns may only be added. Where nobody has
    // changed the table since it was found.
    public async Task<bool> AddColumnsAsync(BigQueryTable table, IReadOnlyList<BigQueryField> columns, CancellationToken cancellationToken)
    {
        var fields = table.Schema.DeepClone().AsArray();
        foreach (var column in columns)
        {
            fields.Add((JsonNode)column.Type.Field(column.Name));
        }

        var body = new JsonObject { ["schema"] = new JsonObject { ["fields"] = fields } };
        using var answer = await _http.AskAsync(
            new(HttpMethod.Patch, $"{Tables}/{Uri.EscapeDataString(table.Name)}")
            {
                Content = Json(body), Answers = [412], Headers = new Dictionary<string, string> { ["If-Match"] = table.Etag },
            },
            cancellationToken).ConfigureAwait(false);
        return answer.Status != 412;
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/delete
    public async Task DropAsync(string table, CancellationToken cancellationToken)
    {
        using var answer = await _http.AskAsync(new(HttpMethod.Delete, $"{Tables}/{Uri.EscapeDataString(table)}") { Answers = [404] }, cancellationToken).ConfigureAwait(false);
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert
    public async Task<BigQueryResult> QueryAsync(string job, string sql, CancellationToken cancellationToken)
    {
        await LocateAsync(cancellationToken).ConfigureAwait(false);
        for (var number = 1; ; number++)
        {
            var id = string.Create(CultureInfo.InvariantCulture, $"{job}_{number}");
            var body = Job(id, new JsonObject { ["query"] = new JsonObject { ["query"] = sql, ["useLegacySql"] = false } });
            try
            {
                // 409: it is there, from a request whose answer was lost.
                using (var answer = await _http.AskAsync(new(HttpMethod.Post, $"{Project}/jobs") { Content = Json(body), Answers = [409] }, cancellationToken).ConfigureAwait(false))
                {
                }

                using var done = await DoneAsync(id, cancellationToken).ConfigureAwait(false);
                return await RowsAsync(id, cancellationToken).ConfigureAwait(false);
            }
            catch (BigQueryException error) when (error.Job is not null && number < BigQueryHttp.Tries && BigQueryErrors.IsPassing(error))
            {
                // A name that was used executes nothing any more.
                await _http.WaitAsync(_http.Pause * (1 << number), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    // https://cloud.google.com/bigquery/docs/reference/api-uploads#resumable
    public async Task<IBigQueryLoad> LoadAsync(string job, string table, IReadOnlyList<BigQueryField> columns, CancellationToken cancellationToken)
    {
        await LocateAsync(cancellationToken).ConfigureAwait(false);
        var body = Job(job, new JsonObject
        {
            ["load"] = new JsonObject
            {
                ["sourceFormat"] = "PARQUET",
                ["destinationTable"] = Reference(table),
                ["schema"] = Schema(columns),
                ["createDisposition"] = "CREATE_NEVER",
                ["writeDisposition"] = "WRITE_EMPTY",
                ["parquetOptions"] = new JsonObject { ["enableListInference"] = true },
            },
        });
        using var answer = await _http.AskAsync(
            new(HttpMethod.Post, $"upload/{Project}/jobs?uploadType=resumable")
            {
                Content = Json(body), Headers = new Dictionary<string, string> { ["X-Upload-Content-Type"] = "application/octet-stream" },
            },
            cancellationToken).ConfigureAwait(false);
        return new BigQueryUpload(_http, Session(answer.Headers.Location), job, (id, cancelled) => DoneAsync(id, cancelled), _options);
    }

    public void Dispose() => _http.Dispose();

    // Whoever has the session's address may write to it, and is sent our token.
    private string Session(Uri? location)
    {
        var uri = location is null ? null : new Uri(_options.Url, location);
        return uri is not null && (uri.Authority == _options.Url.Authority || (uri.Scheme == "https" && uri.Host.EndsWith(".googleapis.com", StringComparison.OrdinalIgnoreCase)))
            ? uri.ToString()
            : throw new BigQueryException($"{_options.Url.Host} began an upload at \"{location}\".") { Status = 200 };
    }

    private async Task LocateAsync(CancellationToken cancellationToken) => _location ??= await LocationAsync(cancellationToken).ConfigureAwait(false);

    // Looks until it is done. What nobody waits for any more is cancelled.
    private async Task<BigQueryAnswer> DoneAsync(string job, CancellationToken cancellationToken)
    {
        var pause = _http.Pause / 2;
        var url = $"{Project}/jobs/{job}?location={Uri.EscapeDataString(_location!)}";
        try
        {
            while (true)
            {
                var answer = await _http.AskAsync(new(HttpMethod.Get, url), cancellationToken).ConfigureAwait(false);
                var status = answer.Root.GetProperty("status");
                if (BigQueryHttp.Text(status, "state") == "DONE")
                {
                    // errors may have some also where it went well; errorResult says that it did not.
                    if (!status.TryGetProperty("errorResult", out var error))
                    {
                        return answer;
                    }

                    using (answer)
                    {
                        throw new BigQueryException(BigQueryHttp.Text(error, "message")) { Status = 200, Reason = BigQueryHttp.Text(error, "reason"), Job = job };
                    }
                }

                answer.Dispose();
                await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);
                pause = pause * 1.5 < LongestPoll ? pause * 1.5 : LongestPoll;
            }
        }
        catch (OperationCanceledException)
        {
            await CancelAsync(job).ConfigureAwait(false);
            throw;
        }
    }

    // If this does not reach it, its timeout does.
    private async Task CancelAsync(string job)
    {
        using var limit = new CancellationTokenSource(CancelLimit, _time);
        try
        {
            using var answer = await _http.AskAsync(
                new(HttpMethod.Post, $"{Project}/jobs/{job}/cancel?location={Uri.EscapeDataString(_location!)}") { Once = true }, limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The same.
        }
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults: of several statements those of the last one.
    private async Task<BigQueryResult> RowsAsync(string job, CancellationToken cancellationToken)
    {
        var url = $"{Project}/queries/{job}?location={Uri.EscapeDataString(_location!)}";
        var columns = new List<string>();
        var rows = new List<IReadOnlyList<string?>>();
        for (var page = ""; ;)
        {
            using var answer = await _http.AskAsync(new(HttpMethod.Get, page.Length == 0 ? url : $"{url}&pageToken={Uri.EscapeDataString(page)}"), cancellationToken).ConfigureAwait(false);
            if (columns.Count == 0 && answer.Root.TryGetProperty("schema", out var schema) && schema.TryGetProperty("fields", out var fields))
            {
                columns.AddRange(fields.EnumerateArray().Select(field => BigQueryHttp.Text(field, "name")));
            }

            if (answer.Root.TryGetProperty("rows", out var found))
            {
                rows.AddRange(found.EnumerateArray().Select(row => (IReadOnlyList<string?>)[.. row.GetProperty("f").EnumerateArray().Select(Cell)]));
            }

            page = BigQueryHttp.Text(answer.Root, "pageToken");
            if (page.Length == 0)
            {
                return new BigQueryResult(columns, rows);
            }
        }
    }

    private static string? Cell(JsonElement cell) => cell.GetProperty("v") is { ValueKind: not JsonValueKind.Null } value
        ? value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText()
        : null;

    private JsonObject Job(string id, JsonObject configuration)
    {
        configuration["jobTimeoutMs"] = (_options.Timeout * 1000L).ToString(CultureInfo.InvariantCulture);
        AddLabels(configuration);
        return new JsonObject
        {
            ["jobReference"] = new JsonObject { ["projectId"] = _options.Project, ["jobId"] = id, ["location"] = _location },
            ["configuration"] = configuration,
        };
    }

    private JsonObject Reference(string table) => new() { ["projectId"] = _options.Project, ["datasetId"] = _options.Dataset, ["tableId"] = table };

    private static JsonObject Schema(IReadOnlyList<BigQueryField> columns) =>
        new() { ["fields"] = new JsonArray([.. columns.Select(column => (JsonNode)column.Type.Field(column.Name))]) };

    private void AddLabels(JsonObject of)
    {
        if (_options.LabelPairs.Count > 0)
        {
            of["labels"] = new JsonObject(_options.LabelPairs.Select(label => KeyValuePair.Create<string, JsonNode?>(label.Key, label.Value)));
        }
    }

    private static Func<HttpContent> Json(JsonObject body)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(body);
        return () => new ByteArrayContent(bytes) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") { CharSet = "UTF-8" } } };
    }
}

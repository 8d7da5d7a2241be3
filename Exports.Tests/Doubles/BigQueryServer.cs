using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// BigQuery's REST API on loopback, as its reference has it: https://cloud.google.com/bigquery/docs/reference/rest. It verifies tokens, keeps the state of
/// tables, jobs and uploads, refuses what BigQuery refuses, and really loads the files. What is not from that documentation is said where it stands.
/// </summary>
internal sealed partial class BigQueryServer : IAsyncDisposable
{
    /// <summary>Neither US nor EU, so that jobs are only found by who names it.</summary>
    public const string Location = "europe-west3";
    private readonly WebApplication _app;
    private readonly SemaphoreSlim _one = new(1);
    private readonly ConcurrentDictionary<string, BigQueryJob> _jobs = [];

    private BigQueryServer(WebApplication app, BigQueryTables tables) => (_app, Tables) = (app, tables);

    public BigQueryTokens Tokens { get; } = new();

    public BigQueryTables Tables { get; }

    public BigQueryUploads Uploads { get; } = new();

    public Uri Address { get; private set; } = null!;

    /// <summary>What goes wrong; nothing by default.</summary>
    public Func<BigQueryCall, BigQueryFault?> Fault { get; set; } = _ => null;

    /// <summary>Done before each transaction.</summary>
    public Func<Task> BeforeTransaction { get; set; } = () => Task.CompletedTask;

    /// <summary>Every request that was let in, in the order in which they came.</summary>
    public ConcurrentQueue<BigQueryCall> Calls { get; } = [];

    /// <summary>Jobs that were cancelled.</summary>
    public ConcurrentQueue<string> Cancelled { get; } = [];

    /// <summary>Rows of a page of a result.</summary>
    public int PageRows { get; set; } = 1_000;

    public static async Task<BigQueryServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0").ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = null);
        var server = new BigQueryServer(builder.Build(), await BigQueryTables.OpenAsync());
        server._app.Run(server.AnswerAsync);
        await server._app.StartAsync();
        server.Address = new Uri(server._app.Urls.Single());
        return server;
    }

    /// <summary>The destination's configuration; a setting with the value null is left out.</summary>
    public Destination Configured(params (string Name, object? Value)[] settings)
    {
        var secrets = new Dictionary<string, string> { ["credentials"] = BigQueryTokens.Key() };
        var destination = new Destination
        {
            Name = "bigquery",
            Kind = "bigquery",
            Settings = new()
            {
                ["project"] = BigQueryTables.Project, ["dataset"] = BigQueryTables.Dataset, ["endpoint"] = Address.ToString(), ["token_url"] = new Uri(Address, "token").ToString(),
                ["chunk_size"] = 256 * 1024,
            },
            Secrets = secrets,
        };
        foreach (var (name, value) in settings)
        {
            secrets.Remove(name);
            destination.Settings.Remove(name);
            if (value is int number)
            {
                destination.Settings[name] = number;
            }
            else if (value is string text && name == "credentials")
            {
                secrets[name] = text;
            }
            else if (value is string plain)
            {
                destination.Settings[name] = plain;
            }
        }

        return destination;
    }

    public IDestination Open(params (string Name, object? Value)[] settings) => DestinationKinds.Open(Configured(settings), new FormatOptions());

    /// <summary>The first column of rows, in DuckDB's SQL.</summary>
    public async Task<List<string?>> ListAsync(string sql)
    {
        await _one.WaitAsync();
        try
        {
            return [.. (await Tables.SelectAsync(sql)).Rows.Select(row => row[0])];
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>Makes a table, as somebody else, of fields such as "id INTEGER" or "id INTEGER REQUIRED".</summary>
    public async Task CreateAsync(string table, params string[] fields)
    {
        await _one.WaitAsync();
        try
        {
            var all = fields.Select(field => field.Split(' ')).Select(parts =>
            {
                var field = new JsonObject { ["name"] = parts[0], ["type"] = parts[1].Split('(')[0], ["mode"] = parts.Length > 2 ? parts[2] : "NULLABLE" };
                if (parts[1].Contains('(', StringComparison.Ordinal))
                {
                    field[parts[1].StartsWith("STRING", StringComparison.Ordinal) ? "maxLength" : "precision"] = parts[1].Split('(', ',', ')')[1];
                    field["scale"] = parts[1].Contains(',', StringComparison.Ordinal) ? parts[1].Split('(', ',', ')')[2] : null;
                }

                return (JsonNode)field;
            });
            await Tables.CreateAsync(new JsonObject { ["tableReference"] = new JsonObject { ["tableId"] = table }, ["schema"] = new JsonObject { ["fields"] = new JsonArray([.. all]) } });
        }
        finally
        {
            _one.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _app.StopAsync(soon.Token);
        await _app.DisposeAsync();
        await Tables.DisposeAsync();
        Uploads.Dispose();
        _one.Dispose();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        var path = http.Request.Path.Value!;
        if (path is "/token" or "/sts")
        {
            var (status, token) = path == "/token" ? await Tokens.TokenAsync(http.Request) : await Tokens.ExchangeAsync(http.Request);
            await WriteAsync(http, status, token);
            return;
        }

        if (!Tokens.IsKnown(http.Request))
        {
            await WriteAsync(http, 401, new BigQueryFailure(401, "authError", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.").Body());
            return;
        }

        var body = http.Request.Method is "POST" or "PATCH" && http.Request.ContentLength > 0 ? (await JsonNode.ParseAsync(http.Request.Body))!.AsObject() : [];
        var call = CallOf(http.Request, body);
        Calls.Enqueue(call);
        var fault = Fault(call);
        if (fault is { Polls: null, Fails: null, Executes: false, ShortBy: 0 })
        {
            await fault.Waits;
            await BreakAsync(http, fault);
            return;
        }

        var (code, answer) = (200, new JsonObject());
        await (fault?.Waits ?? Task.CompletedTask);
        await _one.WaitAsync();
        try
        {
            (code, answer) = await DoAsync(call, http, body, fault);
        }
        catch (BigQueryFailure failure)
        {
            (code, answer) = (failure.Status, failure.Body());
        }
        finally
        {
            _one.Release();
        }

        if (fault is { Executes: true } or { ShortBy: > 0, Status: > 0 })
        {
            await BreakAsync(http, fault);
            return;
        }

        await WriteAsync(http, code, answer);
    }

    private static BigQueryCall CallOf(HttpRequest request, JsonObject body)
    {
        var path = AddressOf().Match(request.Path.Value!);
        Assert.That(path.Success, Is.True, request.Path.Value);
        var rest = path.Groups["rest"].Value.Split('/', StringSplitOptions.RemoveEmptyEntries).Select(Uri.UnescapeDataString).ToArray();
        var job = body["jobReference"]?["jobId"]?.GetValue<string>() ?? "";
        return (request.Method, path.Groups["upload"].Success, rest) switch
        {
            ("PUT", true, ["jobs"]) => new(request.Headers.ContentRange.ToString().StartsWith("bytes *", StringComparison.Ordinal) ? "upload.status" : "upload.put", request.Query["upload_id"].ToString(), ""),
            ("POST", true, ["jobs"]) => new("upload.start", job, ""),
            ("POST", false, ["jobs"]) => new("job.insert", job, body["configuration"]?["query"]?["query"]?.GetValue<string>() ?? ""),
            ("GET", false, ["jobs", var id]) => new("job.get", id, ""),
            ("POST", false, ["jobs", var id, "cancel"]) => new("job.cancel", id, ""),
            ("GET", false, ["queries", var id]) => new("rows", id, ""),
            ("GET", false, ["datasets", var id]) => new("dataset", id, ""),
            ("POST", false, ["datasets", _, "tables"]) => new("table.insert", body["tableReference"]?["tableId"]?.GetValue<string>() ?? "", ""),
            ("GET", false, ["datasets", _, "tables", var id]) => new("table.get", id, ""),
            ("PATCH", false, ["datasets", _, "tables", var id]) => new("table.patch", id, ""),
            ("DELETE", false, ["datasets", _, "tables", var id]) => new("table.delete", id, ""),
            _ => throw new InvalidOperationException($"{request.Method} {request.Path}"),
        };
    }

    private async Task<(int Status, JsonObject Body)> DoAsync(BigQueryCall call, HttpContext http, JsonObject body, BigQueryFault? fault)
    {
        var address = AddressOf().Match(http.Request.Path.Value!);
        if (Uri.UnescapeDataString(address.Groups["project"].Value) is var project && project != BigQueryTables.Project)
        {
            throw BigQueryFailure.Missing("Project", project);
        }

        if (DatasetOf().Match(http.Request.Path.Value!) is { Success: true } dataset && Uri.UnescapeDataString(dataset.Groups["id"].Value) != BigQueryTables.Dataset)
        {
            throw BigQueryFailure.Missing("Dataset", $"{project}:{Uri.UnescapeDataString(dataset.Groups["id"].Value)}");
        }

        switch (call.Kind)
        {
            case "dataset":
                Tables.Allow("bigquery.datasets.get");
                return (200, new JsonObject { ["kind"] = "bigquery#dataset", ["location"] = Location });
            case "table.get":
                Tables.Allow("bigquery.tables.get");
                return (200, Tables.Get(call.Name).DeepClone().AsObject());
            case "table.insert":
                return (200, (await Tables.CreateAsync(body)).DeepClone().AsObject());
            case "table.patch":
                return (200, (await Tables.PatchAsync(call.Name, http.Request.Headers.IfMatch.ToString(), body)).DeepClone().AsObject());
            case "table.delete":
                await Tables.DropAsync(call.Name);
                return (204, []);
            case "job.insert":
                return (200, await InsertAsync(NewJob(body, fault)));
            case "job.get":
                return (200, await LookAsync(Find(call.Name, http)));
            case "job.cancel":
                Cancelled.Enqueue(call.Name);
                Find(call.Name, http).Cancel();
                return (200, new JsonObject { ["job"] = Find(call.Name, http).Resource() });
            case "rows":
                return (200, RowsOf(Find(call.Name, http), http.Request.Query["pageToken"].ToString()));
            case "upload.start":
                CheckJob(body);
                Assert.That(http.Request.Query["uploadType"].ToString(), Is.EqualTo("resumable"));
                http.Response.Headers.Location = $"{Address}upload/bigquery/v2/projects/{BigQueryTables.Project}/jobs?uploadType=resumable&upload_id={Uploads.Begin(body)}";
                return (200, []);
            default:
                return await UploadAsync(call, http, fault);
        }
    }

    private async Task<(int Status, JsonObject Body)> UploadAsync(BigQueryCall call, HttpContext http, BigQueryFault? fault)
    {
        var (started, path, received) = await Uploads.PutAsync(call.Name, http.Request, fault?.ShortBy ?? 0);
        if (started is null)
        {
            if (received > 0)
            {
                http.Response.Headers["Range"] = string.Create(CultureInfo.InvariantCulture, $"bytes=0-{received - 1}");
            }

            return (308, []);
        }

        // Asked again after its end, a session answers with the job that it became.
        return _jobs.TryGetValue(started["jobReference"]!["jobId"]!.GetValue<string>(), out var there) && there.Path == path
            ? (200, there.Resource())
            : (200, await InsertAsync(NewJob(started, fault, path)));
    }

    // https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference: letters, digits, underscores and dashes, at most 1,024. A name that was
    // used is used, also by a job that has failed.
    private void CheckJob(JsonObject body)
    {
        var reference = body["jobReference"]!;
        var id = reference["jobId"]!.GetValue<string>();
        if (!JobId().IsMatch(id))
        {
            throw BigQueryFailure.Invalid($"Invalid job ID \"{id}\".");
        }

        Tables.Allow("bigquery.jobs.create");
        if (reference["location"]?.GetValue<string>() is { } location && location != Location)
        {
            throw BigQueryFailure.Missing("Dataset", $"{BigQueryTables.Project}:{BigQueryTables.Dataset} was not found in location {location}");
        }

        if (_jobs.ContainsKey(id))
        {
            throw BigQueryFailure.There("Job", $"{BigQueryTables.Project}:{Location}.{id}");
        }
    }

    private BigQueryJob NewJob(JsonObject body, BigQueryFault? fault, string? path = null)
    {
        CheckJob(body);
        var id = body["jobReference"]!["jobId"]!.GetValue<string>();
        return _jobs[id] = new BigQueryJob(id, body, path) { Polls = fault?.Polls ?? 0, Failure = fault?.Fails };
    }

    private async Task<JsonObject> InsertAsync(BigQueryJob job)
    {
        if (job.Polls == 0)
        {
            await RunAsync(job);
        }

        // It is never done so soon.
        var resource = job.Resource();
        resource["status"] = new JsonObject { ["state"] = "PENDING" };
        return resource;
    }

    private async Task<JsonObject> LookAsync(BigQueryJob job)
    {
        if (job.Polls > 0 && --job.Polls == 0)
        {
            await RunAsync(job);
        }

        return job.Resource();
    }

    private async Task RunAsync(BigQueryJob job)
    {
        if (job.IsDone || job.Failure is not null)
        {
            job.IsDone = true;
            return;
        }

        try
        {
            var configuration = job.Body["configuration"]!;
            if (configuration["load"] is { } load)
            {
                job.LoadedRows = await Tables.LoadAsync(load.AsObject(), job.Path!);
            }
            else
            {
                Assert.That(configuration["query"]!["useLegacySql"]!.GetValue<bool>(), Is.False, "it is true if nothing is said");
                var sql = configuration["query"]!["query"]!.GetValue<string>();
                if (sql.StartsWith("BEGIN", StringComparison.Ordinal))
                {
                    await BeforeTransaction();
                }

                (job.Columns, job.Rows) = await Tables.QueryAsync(sql);
            }
        }
        catch (BigQueryFailure failure)
        {
            job.Failure = failure;
        }

        job.IsDone = true;
    }

    // A job is only found where it is: https://cloud.google.com/bigquery/docs/locations#specify_locations.
    private BigQueryJob Find(string id, HttpContext http) => http.Request.Query["location"] == Location && _jobs.TryGetValue(id, out var job)
        ? job
        : throw BigQueryFailure.Missing("Job", $"{BigQueryTables.Project}:{id}");

    private JsonObject RowsOf(BigQueryJob job, string page)
    {
        if (job.Failure is { } failure)
        {
            throw failure;
        }

        var from = page.Length == 0 ? 0 : int.Parse(page, CultureInfo.InvariantCulture);
        var answer = new JsonObject
        {
            ["kind"] = "bigquery#getQueryResultsResponse", ["jobComplete"] = job.IsDone, ["totalRows"] = job.Rows.Count.ToString(CultureInfo.InvariantCulture),
            ["schema"] = new JsonObject { ["fields"] = new JsonArray([.. job.Columns.Select(name => (JsonNode)new JsonObject { ["name"] = name, ["type"] = "STRING", ["mode"] = "NULLABLE" })]) },
            ["rows"] = new JsonArray([.. job.Rows.Skip(from).Take(PageRows).Select(row => (JsonNode)new JsonObject
            {
                ["f"] = new JsonArray([.. row.Select(value => (JsonNode)new JsonObject { ["v"] = value })]),
            })]),
        };
        if (from + PageRows < job.Rows.Count)
        {
            answer["pageToken"] = (from + PageRows).ToString(CultureInfo.InvariantCulture);
        }

        return answer;
    }

    private static async Task BreakAsync(HttpContext http, BigQueryFault fault)
    {
        if (fault.Status == 0)
        {
            http.Abort();
            return;
        }

        http.Response.Headers.RetryAfter = fault.RetryAfter;
        await WriteAsync(http, fault.Status, new BigQueryFailure(fault.Status, fault.Reason, fault.Message).Body());
    }

    private static async Task WriteAsync(HttpContext http, int status, JsonObject body)
    {
        http.Response.StatusCode = status;
        if (status is not (204 or 308))
        {
            await http.Response.WriteAsJsonAsync(body);
        }
    }

    [GeneratedRegex("^/(?<upload>upload/)?bigquery/v2/projects/(?<project>[^/]+)/(?<rest>.+)$")]
    private static partial Regex AddressOf();

    [GeneratedRegex("/datasets/(?<id>[^/]+)")]
    private static partial Regex DatasetOf();

    [GeneratedRegex("^[A-Za-z0-9_-]{1,1024}$")]
    private static partial Regex JobId();
}

using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// Snowflake's SQL API on loopback, as its reference has it: https://docs.snowflake.com/en/developer-guide/sql-api/reference. It verifies tokens and
/// headers, keeps the state of every statement, refuses what that API refuses, and really loads the files. What is not from that
/// documentation is said where it stands.
/// </summary>
internal sealed class SnowflakeServer : IAsyncDisposable
{
    public const string Account = "MYORG-TEST";
    public const string User = "EXPORTER";
    private static readonly HashSet<string> Fields = ["statement", "timeout", "database", "schema", "warehouse", "role", "bindings", "parameters", "nullable"];
    private readonly WebApplication _app;
    private readonly LocalS3 _s3;
    private readonly SemaphoreSlim _one = new(1);
    private readonly ConcurrentDictionary<string, SnowflakeExecution> _statements = new();
    private readonly ConcurrentDictionary<string, string> _succeeded = new();
    private int _calls;
    private int _looks;

    private SnowflakeServer(WebApplication app, LocalS3 s3, SnowflakeTables tables, string bucket) => (_app, _s3, Tables, Bucket) = (app, s3, tables, bucket);

    public SnowflakeTokens Tokens { get; } = new(Account, User);

    public SnowflakeTables Tables { get; }

    public string Bucket { get; }

    public Uri Address { get; private set; } = null!;

    /// <summary>What goes wrong; nothing by default.</summary>
    public Func<SnowflakeCall, SnowflakeFault?> Fault { get; set; } = _ => null;

    /// <summary>Whether retry=true finds nothing, so that a repeat is executed again: of a request that is under way, or was long ago, nothing is promised.</summary>
    public bool ForgetsRequests { get; set; }

    /// <summary>Done before each transaction.</summary>
    public Func<Task> BeforeTransaction { get; set; } = () => Task.CompletedTask;

    /// <summary>Every request that was let in, in the order in which they came.</summary>
    public ConcurrentQueue<SnowflakeCall> Calls { get; } = [];

    /// <summary>How often somebody has looked how far a statement is: he knows its handle.</summary>
    public int Looks => _looks;

    /// <summary>Handles of statements that were cancelled.</summary>
    public ConcurrentQueue<string> Cancelled { get; } = [];

    /// <summary>Rows of a result's partition.</summary>
    public int PartitionRows { get; set; } = 1_000;

    public HashSet<string> Roles { get; } = ["LOADER"];

    public HashSet<string> Warehouses { get; } = ["LOADING"];

    public static async Task<SnowflakeServer> StartAsync(LocalS3 s3)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = new SnowflakeServer(builder.Build(), s3, await SnowflakeTables.OpenAsync(s3), await s3.CreateBucketAsync());
        server.Tables.Stages[$"{SnowflakeTables.Database}.{SnowflakeTables.Schema}.EXPORTS"] = $"s3://{server.Bucket}/staged/";
        server.Tables.Integrations.Add("S3_READER");
        server._app.MapPost("/oauth/token-request", server.Tokens.GiveAsync);
        server._app.MapPost("/api/v2/statements", server.SubmitAsync);
        server._app.MapGet("/api/v2/statements/{handle}", server.LookAsync);
        server._app.MapPost("/api/v2/statements/{handle}/cancel", server.CancelAsync);
        await server._app.StartAsync();
        server.Address = new Uri(server._app.Urls.Single());
        return server;
    }

    /// <summary>The destination's configuration; a setting with the value null is left out.</summary>
    public Destination Configured(params (string Name, object? Value)[] settings)
    {
        var secrets = new Dictionary<string, string> { ["private_key"] = Tokens.PrivateKey, ["stage_access_key"] = _s3.AccessKey, ["stage_secret_key"] = _s3.SecretKey };
        var destination = new Destination
        {
            Name = "snowflake",
            Kind = "snowflake",
            Settings = new()
            {
                ["account"] = Account.ToLowerInvariant(), ["user"] = User.ToLowerInvariant(), ["host"] = Address.ToString(), ["role"] = "loader", ["warehouse"] = "loading",
                ["database"] = "analytics", ["schema"] = "public", ["stage"] = "exports", ["stage_bucket"] = Bucket, ["stage_prefix"] = "staged/a",
                ["stage_endpoint"] = _s3.Endpoint.ToString(), ["stage_part_size"] = 5 * 1024 * 1024,
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
            else if (value is string text && DestinationKinds.Get("snowflake").Settings.First(setting => setting.Name == name).Secret)
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

    /// <summary>Executes Snowflake's SQL, as somebody else.</summary>
    public async Task ExecuteAsync(string sql)
    {
        await _one.WaitAsync();
        try
        {
            await Tables.ExecuteAsync(sql);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>The keys of the objects in the bucket.</summary>
    public async Task<List<string>> StagedAsync()
    {
        using var client = _s3.CreateClient();
        var page = await client.ListObjectsV2Async(new() { BucketName = Bucket });
        return [.. (page.S3Objects ?? []).Select(found => found.Key)];
    }

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _app.StopAsync(soon.Token);
        await _app.DisposeAsync();
        await Tables.DisposeAsync();
        Tokens.Dispose();
        _one.Dispose();
    }

    private async Task SubmitAsync(HttpContext http)
    {
        if (await IsRefusedAsync(http))
        {
            return;
        }

        JsonObject body;
        try
        {
            body = (await JsonNode.ParseAsync(http.Request.Body))!.AsObject();
        }
        catch (JsonException)
        {
            await AnswerAsync(http, 400, SnowflakeAnswers.Failure(null, "390142", "", "Incoming request does not contain a valid payload."));
            return;
        }

        if (body.Any(field => !Fields.Contains(field.Key)) || body["statement"] is null)
        {
            await AnswerAsync(http, 400, SnowflakeAnswers.Failure(null, "390142", "", "Incoming request does not contain a valid payload."));
            return;
        }

        var retry = http.Request.Query["retry"] == "true";
        var requestId = http.Request.Query["requestId"].ToString();
        Assert.That(Guid.TryParse(requestId, out _), Is.True, "requestId is a UUID");
        var call = new SnowflakeCall(body["statement"]!.GetValue<string>(), Interlocked.Increment(ref _calls) - 1, retry);
        Calls.Enqueue(call);
        var fault = Fault(call);
        if (fault is { Polls: null, Executes: false })
        {
            await BreakAsync(http, fault);
            return;
        }

        // Only of what has succeeded it is known; without retry=true it is a new request.
        var handle = retry && !ForgetsRequests && _succeeded.TryGetValue(requestId, out var known) ? known : Guid.NewGuid().ToString();
        var execution = _statements.GetOrAdd(handle, _ => new SnowflakeExecution(handle, requestId, body) { Polls = fault?.Polls ?? 0, PollStatus = fault?.PollStatus ?? 202 });
        if (fault is { Polls: not null } or { Executes: true })
        {
            await fault.Waits;
        }

        if (fault?.Polls is null or 0)
        {
            await RunAsync(execution);
        }

        if (fault is { Executes: true })
        {
            await BreakAsync(http, fault);
            return;
        }

        await AnswerAsync(http, execution, 0);
    }

    private async Task LookAsync(HttpContext http, string handle)
    {
        Interlocked.Increment(ref _looks);
        if (await IsRefusedAsync(http))
        {
            return;
        }

        if (!_statements.TryGetValue(handle, out var execution))
        {
            await AnswerAsync(http, 422, SnowflakeAnswers.Failure(handle, "000709", "02000", $"Statement {handle} not found"));
            return;
        }

        if (execution.Polls > 0 && --execution.Polls == 0)
        {
            await RunAsync(execution);
        }
        else if (execution.Polls > 0 && execution.PollStatus != 202)
        {
            await BreakAsync(http, new SnowflakeFault { Status = execution.PollStatus, RetryAfter = "0" });
            return;
        }

        await AnswerAsync(http, execution, int.TryParse(http.Request.Query["partition"], CultureInfo.InvariantCulture, out var partition) ? partition : 0);
    }

    private async Task CancelAsync(HttpContext http, string handle)
    {
        if (!await IsRefusedAsync(http) && _statements.TryGetValue(handle, out var execution))
        {
            Cancelled.Enqueue(handle);
            execution.Failure ??= execution.Answer is null ? new SnowflakeFailure("000604", "57014", "SQL execution canceled") : null;
            execution.Polls = 0;
            await AnswerAsync(http, 200, SnowflakeAnswers.Failure(handle, "000604", "57014", "SQL execution canceled"));
        }
    }

    private async Task RunAsync(SnowflakeExecution execution)
    {
        await _one.WaitAsync();
        try
        {
            if (execution.Answer is not null || execution.Failure is not null)
            {
                return;
            }

            execution.Answer = await ExecuteAsync(execution);
            _succeeded[execution.RequestId] = execution.Handle;
        }
        catch (SnowflakeFailure failure)
        {
            execution.Failure = failure;
        }
        finally
        {
            _one.Release();
        }
    }

    private async Task<SnowflakeAnswer> ExecuteAsync(SnowflakeExecution execution)
    {
        var body = execution.Body;
        if (body["role"]?.GetValue<string>() is { } role && !Roles.Contains(role))
        {
            // The code is the drivers', where the connect string names a role.
            throw new SnowflakeFailure("390189", "08001", $"Role '{role}' specified in the connect string does not exist or not authorized. Contact your local system administrator, or attempt to login with another role, e.g. PUBLIC.");
        }

        var statements = SnowflakeSql.Split(body["statement"]!.GetValue<string>());
        var wanted = body["parameters"]?["MULTI_STATEMENT_COUNT"]?.GetValue<string>() is { } count ? int.Parse(count, CultureInfo.InvariantCulture) : 1;
        if (statements.Count != wanted)
        {
            throw new SnowflakeFailure("000008", "0A000", $"Actual statement count {statements.Count} did not match the desired statement count {wanted}.");
        }

        var warehouse = body["warehouse"]?.GetValue<string>() is { } named && Warehouses.Contains(named) ? named : null;
        return statements.Count == 1
            ? await OneAsync(statements[0], execution, warehouse, several: false)
            : await SeveralAsync(statements, execution, warehouse);
    }

    private async Task<SnowflakeAnswer> SeveralAsync(IReadOnlyList<string> statements, SnowflakeExecution execution, string? warehouse)
    {
        var open = false;
        await BeforeTransaction();
        try
        {
            foreach (var statement in statements)
            {
                var child = new SnowflakeExecution(Guid.NewGuid().ToString(), execution.RequestId, execution.Body);
                try
                {
                    child.Answer = await OneAsync(statement, execution, warehouse, several: true);
                }
                catch (SnowflakeFailure failure)
                {
                    throw SnowflakeAnswers.OfSeveral(statement, failure);
                }

                open = statement.StartsWith("BEGIN", StringComparison.Ordinal) || (open && statement is not ("COMMIT" or "ROLLBACK"));
                _statements[child.Handle] = child;
                execution.Children.Add(child.Handle);
            }
        }
        finally
        {
            // With the request its session ends, and with that an open transaction.
            if (open)
            {
                await Tables.ExecuteAsync("ROLLBACK");
            }
        }

        return new SnowflakeAnswer(["multiple statement execution"], [["Multiple statements executed successfully."]]);
    }

    private Task<SnowflakeAnswer> OneAsync(string statement, SnowflakeExecution execution, string? warehouse, bool several)
    {
        var word = SnowflakeSql.Pieces(statement)[0].Text.ToUpperInvariant();
        if (word is "PUT" or "GET" || (!several && word is "BEGIN" or "COMMIT" or "ROLLBACK" or "USE" or "SET" or "ALTER SESSION"))
        {
            throw SnowflakeFailure.Unsupported(word);
        }

        if (statement.Contains("CURRENT_WAREHOUSE()", StringComparison.Ordinal))
        {
            return Task.FromResult(new SnowflakeAnswer(["VERSION", "ROLE", "WAREHOUSE"], [["9.99.0", execution.Body["role"]?.GetValue<string>() ?? "PUBLIC", warehouse]]));
        }

        return warehouse is null && word is "SELECT" or "INSERT" or "UPDATE" or "DELETE" or "MERGE" or "COPY"
            ? throw new SnowflakeFailure("000606", "57P03", "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.")
            : Tables.ExecuteAsync(statement);
    }

    private async Task<bool> IsRefusedAsync(HttpContext http)
    {
        var headers = http.Request.Headers;
        var (status, code, message) = (0, "", "");
        if (Tokens.Problem(http.Request) is var (tokenCode, problem))
        {
            (status, code, message) = (401, tokenCode, problem);
        }
        else if (headers.UserAgent.Count == 0)
        {
            (status, code, message) = (400, "391903", "The header User-Agent is missing.");
        }
        else if (headers.Accept != "application/json")
        {
            (status, code, message) = (400, "391902", "The header Accept is not application/json.");
        }
        else if (http.Request.Method == "POST" && headers.ContentType != "application/json")
        {
            (status, code, message) = (415, "391901", "The header Content-Type is not application/json.");
        }

        if (status > 0)
        {
            await AnswerAsync(http, status, new JsonObject { ["code"] = code, ["message"] = message });
        }

        return status > 0;
    }

    private Task AnswerAsync(HttpContext http, SnowflakeExecution execution, int partition) => execution switch
    {
        { Failure: { Code: "000630" } late } => AnswerAsync(http, 408, SnowflakeAnswers.Failure(execution.Handle, late.Code, late.SqlState, late.Message)),
        { Failure: { } failure } => AnswerAsync(http, 422, SnowflakeAnswers.Failure(execution.Handle, failure.Code, failure.SqlState, failure.Message)),
        { Answer: { } answer } => AnswerAsync(
            http, 200, SnowflakeAnswers.ResultSet(execution.Handle, execution.RequestId, answer, PartitionRows, partition, execution.Children.Count > 0 ? execution.Children : null)),
        _ => AnswerAsync(http, 202, SnowflakeAnswers.UnderWay(execution.Handle, execution.RequestId)),
    };

    private static async Task BreakAsync(HttpContext http, SnowflakeFault fault)
    {
        await fault.Waits;
        if (fault.Status == 0)
        {
            http.Abort();
            return;
        }

        http.Response.Headers.RetryAfter = fault.RetryAfter;
        var (code, message) = fault.Status switch
        {
            429 => ("390505", "Too many requests."),
            408 => ("000630", "Statement reached its statement or warehouse timeout of 1 second(s) and was canceled."),
            _ => ("390000", "as the test says"),
        };
        await AnswerAsync(http, fault.Status, SnowflakeAnswers.Failure(null, code, "", message));
    }

    private static Task AnswerAsync(HttpContext http, int status, JsonObject body)
    {
        http.Response.StatusCode = status;
        return http.Response.WriteAsJsonAsync(body);
    }
}

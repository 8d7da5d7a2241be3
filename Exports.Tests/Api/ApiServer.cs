using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Exporter.Exports.Api;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Api;

/// <summary>The HTTP API on a port of its own, with a database of its own, and whoever a test lets ask.</summary>
internal sealed class ApiServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly List<HttpClient> _clients = [];
    private readonly List<string> _errors;

    private ApiServer(WebApplication app, TestDatabase database, List<string> errors)
    {
        (_app, Database, _errors) = (app, database, errors);
        Address = new Uri(app.Urls.Single());
        Keys = app.Services.GetRequiredService<ApiKeyStore>();
        Users = app.Services.GetRequiredService<UserStore>();
        Requests = app.Services.GetRequiredService<RequestStore>();
    }

    public TestDatabase Database { get; }

    public Uri Address { get; }

    public ApiKeyStore Keys { get; }

    public UserStore Users { get; }

    public RequestStore Requests { get; }

    public static async Task<ApiServer> StartAsync(ClickHouseOptions? source = null, BatchExportsApiOptions? api = null, TestDatabase? database = null)
    {
        database ??= await TestDatabase.NewAsync();
        var builder = WebApplication.CreateSlimBuilder();
        var errors = new List<string>();
        builder.Logging.ClearProviders().AddProvider(new ErrorKeeper(errors));
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddBatchExports(new BatchExportsOptions
        {
            Postgres = database.ConnectionString, EncryptionKey = database.Key, Source = source, Worker = null, Api = api ?? new BatchExportsApiOptions(),
        });
        var app = builder.Build();
        app.MapBatchExports();
        await app.StartAsync();
        return new ApiServer(app, database, errors);
    }

    /// <summary>What went wrong inside of the server, so far.</summary>
    public IReadOnlyList<string> Wrong()
    {
        lock (_errors)
        {
            return [.. _errors];
        }
    }

    /// <summary>Somebody with a key of a role; in all projects where none is named.</summary>
    public async Task<ApiClient> WithKeyAsync(AccessRole role, string? project = ProjectStore.Default) =>
        Of((await Keys.CreateAsync($"k{Guid.NewGuid():N}", new AccessGrant(project, role), null, "tester")).Secret);

    /// <summary>Somebody with this key; nobody's without.</summary>
    public ApiClient Of(string? key)
    {
        var client = new HttpClient(new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false }) { BaseAddress = new Uri(Address, "/api/v1/") };
        if (key is not null)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }

        _clients.Add(client);
        return new ApiClient(client);
    }

    public async ValueTask DisposeAsync()
    {
        _clients.ForEach(client => client.Dispose());
        await _app.DisposeAsync();
        await Database.DisposeAsync();
    }

    private sealed class ErrorKeeper(List<string> errors) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                lock (errors)
                {
                    errors.Add($"{formatter(state, exception)} {exception}");
                }
            }
        }

        public void Dispose()
        {
        }
    }
}

/// <summary>Somebody who asks.</summary>
internal sealed class ApiClient(HttpClient http)
{
    public HttpClient Http => http;

    public Task<ApiResult> GetAsync(string path) => SendAsync("GET", path);

    public Task<ApiResult> PostAsync(string path, JsonNode? body = null, string? key = null) => SendAsync("POST", path, body, request => Add(request, "Idempotency-Key", key));

    public Task<ApiResult> PatchAsync(string path, JsonNode body, string? match = null) => SendAsync("PATCH", path, body, request => Add(request, "If-Match", match));

    public Task<ApiResult> DeleteAsync(string path) => SendAsync("DELETE", path);

    public Task<ApiResult> SendAsync(string method, string path, JsonNode? body = null, Action<HttpRequestMessage>? with = null) =>
        SendAsync(method, path, body is null ? null : new StringContent(body.ToJsonString(), new MediaTypeHeaderValue("application/json")), with);

    public async Task<ApiResult> SendAsync(string method, string path, HttpContent? body, Action<HttpRequestMessage>? with)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = body };
        with?.Invoke(request);
        using var response = await http.SendAsync(request);
        return new ApiResult((int)response.StatusCode, await response.Content.ReadAsStringAsync(), response.Content.Headers.ContentType?.MediaType)
        {
            ETag = response.Headers.ETag?.ToString(),
            Location = response.Headers.Location?.ToString(),
            RetryAfter = response.Headers.RetryAfter?.Delta,
            IsRepeated = response.Headers.Contains("Idempotent-Replayed"),
            Cookie = response.Headers.TryGetValues("Set-Cookie", out var cookies) ? cookies.Single() : null,
        };
    }

    private static void Add(HttpRequestMessage request, string name, string? value)
    {
        if (value is not null)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }
    }
}

/// <summary>What was answered.</summary>
internal sealed record ApiResult(int Status, string Body, string? Type)
{
    public string? ETag { get; init; }

    public string? Location { get; init; }

    public TimeSpan? RetryAfter { get; init; }

    public bool IsRepeated { get; init; }

    public string? Cookie { get; init; }

    /// <summary>The answer of what must have worked.</summary>
    public JsonNode Json
    {
        get
        {
            Assert.That(Status, Is.InRange(200, 299), Body);
            return JsonNode.Parse(Body)!;
        }
    }

    /// <summary>The problem of what must not have worked.</summary>
    public JsonNode Problem(int status)
    {
        Assert.That((Status, Type), Is.EqualTo((status, "application/problem+json")), Body);
        return JsonNode.Parse(Body)!;
    }
}

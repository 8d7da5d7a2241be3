using System.Globalization;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>A kind of destination to measure, with its server.</summary>
internal interface IBenchTarget : IAsyncDisposable
{
    /// <summary>A destination where nothing lies yet.</summary>
    Task<Destination> NewAsync();

    /// <summary>Throws unless so many rows have arrived at the last one, as the other side has counted them.</summary>
    Task ExpectAsync(long rows) => Task.CompletedTask;
}

/// <summary>The kinds that <c>make bench-export DESTINATION=...</c> measures alike; a new one is one line here.</summary>
internal static class BenchTargets
{
    private static readonly Dictionary<string, Func<string, Task<IBenchTarget>>> Kinds = new(StringComparer.Ordinal)
    {
        ["files"] = folder => Task.FromResult(Files(folder)),
        ["s3"] = async _ => new S3Target(await LocalS3.StartAsync()),
        ["azure-blob"] = async _ => new AzureTarget(await LocalAzurite.StartAsync()),
        ["webhook"] = async _ => await WebhookTarget.StartAsync(),
    };

    public static string Names => string.Join(", ", Kinds.Keys);

    public static bool Has(string kind) => Kinds.ContainsKey(kind);

    /// <summary>Whether a text is settings with numbers, such as <c>part_size:8388608,parallel_parts:4</c>.</summary>
    public static bool AreSettings(string text) =>
        text.Split(',').All(setting => setting.Split(':') is [_, var number] && long.TryParse(number, CultureInfo.InvariantCulture, out _));

    /// <param name="kind">One of them; settings may stand behind it, and a space between.</param>
    /// <param name="folder">A folder for whatever it needs.</param>
    public static async Task<IBenchTarget> OpenAsync(string kind, string folder) => kind.Split(' ') switch
    {
        [var name, var settings] => new SetTarget(await Kinds[name](folder), settings),
        _ => await Kinds[kind](folder),
    };

    /// <summary>Folders below one.</summary>
    public static IBenchTarget Files(string folder) => new FilesTarget(folder);

    private sealed class SetTarget(IBenchTarget inner, string settings) : IBenchTarget
    {
        public async Task<Destination> NewAsync()
        {
            var destination = await inner.NewAsync();
            foreach (var setting in settings.Split(',').Select(setting => setting.Split(':')))
            {
                destination.Settings[setting[0]] = long.Parse(setting[1], CultureInfo.InvariantCulture);
            }

            return destination;
        }

        public Task ExpectAsync(long rows) => inner.ExpectAsync(rows);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    private sealed class FilesTarget(string folder) : IBenchTarget
    {
        private int _roots;

        public Task<Destination> NewAsync()
        {
            var root = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"files-{_roots++}"));
            Directory.CreateDirectory(root);
            return Task.FromResult(new Destination { Name = "files", Kind = "files", Settings = new() { ["root"] = root } });
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class S3Target(LocalS3 server) : IBenchTarget
    {
        public async Task<Destination> NewAsync() => new()
        {
            Name = "s3",
            Kind = "s3",
            Settings = new() { ["bucket"] = await server.CreateBucketAsync(), ["endpoint"] = server.Endpoint.ToString() },
            Secrets = new Dictionary<string, string> { ["access_key"] = server.AccessKey, ["secret_key"] = server.SecretKey },
        };

        public ValueTask DisposeAsync() => server.DisposeAsync();
    }

    private sealed class AzureTarget(LocalAzurite server) : IBenchTarget
    {
        public async Task<Destination> NewAsync() => new()
        {
            Name = "azure-blob",
            Kind = "azure-blob",
            Settings = new() { ["account"] = LocalAzurite.Account, ["container"] = await server.CreateContainerAsync(), ["endpoint"] = server.Endpoint.ToString() },
            Secrets = new Dictionary<string, string> { ["account_key"] = LocalAzurite.AccountKey },
        };

        public ValueTask DisposeAsync() => server.DisposeAsync();
    }

    /// <summary>A receiver in the measuring process: reads a message, verifies its signature, counts its rows and forgets it.</summary>
    private sealed class WebhookTarget : IBenchTarget
    {
        private readonly string _secret = WebhookServer.NewSecret();
        private LoopbackServer _server = null!;
        private long _rows;

        public static async Task<WebhookTarget> StartAsync()
        {
            var target = new WebhookTarget();
            target._server = await LoopbackServer.StartAsync(target.TakeAsync);
            return target;
        }

        public Task<Destination> NewAsync()
        {
            Interlocked.Exchange(ref _rows, 0);
            return Task.FromResult(new Destination
            {
                Name = "webhook",
                Kind = "webhook",
                Settings = new() { ["url"] = _server.Address.ToString() },
                Secrets = new Dictionary<string, string> { ["secret"] = _secret },
            });
        }

        public Task ExpectAsync(long rows) => Interlocked.Read(ref _rows) == rows
            ? Task.CompletedTask
            : throw new InvalidOperationException($"{_rows} rows of {rows} have arrived.");

        public ValueTask DisposeAsync() => _server.DisposeAsync();

        private async Task TakeAsync(HttpContext http)
        {
            var body = await LoopbackServer.BodyAsync(http.Request);
            var (id, time) = (http.Request.Headers["webhook-id"].ToString(), http.Request.Headers["webhook-timestamp"].ToString());
            if (http.Request.Headers["webhook-signature"] != WebhookServer.Sign(_secret, id, time, body))
            {
                http.Response.StatusCode = StatusCodes.Status401Unauthorized;
                return;
            }

            Interlocked.Add(ref _rows, body.AsSpan().Count((byte)'\n'));
        }
    }
}

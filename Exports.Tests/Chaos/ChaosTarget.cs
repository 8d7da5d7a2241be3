using System.Globalization;
using Azure.Storage.Blobs.Models;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>A kind of destination in the chaos: where an export goes, and how what lies there comes into a folder to be counted.</summary>
internal interface IChaosTarget : IAsyncDisposable
{
    /// <summary>Whether it has files and a manifest; else only rows.</summary>
    bool HasManifest { get; }

    /// <summary>A place of its own for an export.</summary>
    /// <param name="name">The export's name.</param>
    /// <param name="root">A folder of its own.</param>
    Task<Destination> MakeAsync(string name, string root);

    /// <summary>Brings what lies there into the folder: the files, or the rows as <c>rows.jsonl</c>.</summary>
    Task FetchAsync(string name, string root);

    /// <summary>Breaks something on the way to it. Kinds whose clients or servers see faults all the time need no more.</summary>
    void Break(Random random)
    {
    }

    /// <summary>How often that did harm.</summary>
    long Faults => 0;
}

/// <summary>The servers that destinations are on, each started when it is asked for.</summary>
/// <param name="S3">An S3 server.</param>
/// <param name="Azurite">Azure's blob service.</param>
/// <param name="NewPostgres">Makes an empty database and answers its connection string.</param>
internal sealed record ChaosServers(Func<Task<LocalS3>> S3, Func<Task<LocalAzurite>> Azurite, Func<Task<string>> NewPostgres);

/// <summary>The kinds that the chaos knows, by their names.</summary>
internal static class ChaosTargets
{
    public static async Task<IChaosTarget> OpenAsync(string kind, ChaosServers servers, int seed) => kind switch
    {
        "files" => new FilesTarget(),
        "s3" => new S3Target(await servers.S3()),
        "azure-blob" => new AzureTarget(await servers.Azurite()),
        "postgres" => new PostgresTarget(PostgresServer.Of(await servers.NewPostgres())),
        "webhook" => await WebhookTarget.OpenAsync(seed),
        "snowflake" => await SnowflakeTarget.OpenAsync(await servers.S3(), seed),
        "redshift" => await RedshiftTarget.OpenAsync(await servers.S3(), await servers.NewPostgres(), seed),
        "bigquery" => await BigQueryTarget.OpenAsync(seed),
        _ => throw new ArgumentException($"destination={kind} is not known: files, s3, azure-blob, postgres, webhook, snowflake, redshift, bigquery."),
    };

    private sealed class FilesTarget : IChaosTarget
    {
        public bool HasManifest => true;

        public Task<Destination> MakeAsync(string name, string root) =>
            Task.FromResult(new Destination { Name = name, Kind = "files", Settings = new() { ["root"] = root } });

        public Task FetchAsync(string name, string root) => Task.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class S3Target(LocalS3 s3) : IChaosTarget
    {
        private readonly Dictionary<string, string> _buckets = [];

        public bool HasManifest => true;

        public async Task<Destination> MakeAsync(string name, string root)
        {
            _buckets[name] = await s3.CreateBucketAsync();
            return new Destination
            {
                Name = name, Kind = "s3",
                Settings = new() { ["bucket"] = _buckets[name], ["endpoint"] = s3.Endpoint.ToString(), ["part_size"] = 5 * 1024 * 1024 },
                Secrets = new Dictionary<string, string> { ["access_key"] = s3.AccessKey, ["secret_key"] = s3.SecretKey },
            };
        }

        public async Task FetchAsync(string name, string root)
        {
            using var client = s3.CreateClient();
            var page = await client.ListObjectsV2Async(new() { BucketName = _buckets[name] });
            foreach (var found in page.S3Objects ?? [])
            {
                var path = Path.Combine(root, found.Key);
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                using var content = await client.GetObjectAsync(_buckets[name], found.Key);
                await using var file = File.Create(path);
                await content.ResponseStream.CopyToAsync(file);
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class AzureTarget(LocalAzurite azurite) : IChaosTarget
    {
        private readonly Dictionary<string, string> _containers = [];

        public bool HasManifest => true;

        public async Task<Destination> MakeAsync(string name, string root)
        {
            _containers[name] = await azurite.CreateContainerAsync();
            return new Destination
            {
                Name = name, Kind = "azure-blob",
                Settings = new()
                {
                    ["account"] = LocalAzurite.Account, ["container"] = _containers[name], ["endpoint"] = azurite.Endpoint.ToString(), ["block_size"] = 1024 * 1024,
                },
                Secrets = new Dictionary<string, string> { ["account_key"] = LocalAzurite.AccountKey },
            };
        }

        public async Task FetchAsync(string name, string root)
        {
            var container = azurite.Client().GetBlobContainerClient(_containers[name]);
            await foreach (var found in container.GetBlobsAsync(new GetBlobsOptions()))
            {
                var path = Path.Combine(root, found.Name);
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                await container.GetBlobClient(found.Name).DownloadToAsync(path);
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    /// <summary>A database behind a proxy that cuts connections, also those over which a commit was sent. Exports append and merge in turn.</summary>
    private sealed class PostgresTarget(PostgresServer server) : IChaosTarget
    {
        private readonly FaultProxy _proxy = FaultProxy.Start(server.Parts.Port);
        private readonly HashSet<string> _appended = [];
        private int _made;

        public bool HasManifest => false;

        public long Faults => _proxy.Cuts;

        public Task<Destination> MakeAsync(string name, string root)
        {
            (string, object?)[] mode = _made++ % 2 == 1 ? [("mode", "merge"), ("key", "id")] : [];
            if (mode.Length == 0)
            {
                _appended.Add(name);
            }

            return Task.FromResult(server.Configured([("port", _proxy.Port), .. mode]) with { Name = name });
        }

        public void Break(Random random)
        {
            if (random.Next(2) == 0)
            {
                _proxy.CutAll();
                return;
            }

            var trap = new FaultTrap(FaultMoment.AnswerLost, "_exporter_commits", "COMMIT");
            _proxy.Set(trap);
            _ = trap.Sprung.ContinueWith(_ => trap.Release(), TaskScheduler.Default);
        }

        public async Task FetchAsync(string name, string root)
        {
            // None of an export that did not come so far.
            if (await server.ScalarAsync<string?>($"select to_regclass('public.\"{name}\"')::text") is null)
            {
                return;
            }

            if (_appended.Contains(name) && await UntrueAsync(name) is { Count: > 0 } untrue)
            {
                throw new InvalidDataException($"_exporter_commits says other rows than there are: {string.Join(", ", untrue)}");
            }

            await File.WriteAllLinesAsync(Path.Combine(root, "rows.jsonl"), await server.ListAsync<string>($"select json_build_object('id', id, 'text', text)::text from \"{name}\""));
        }

        // The query of docs/destinations/postgres.md.
        private Task<List<string>> UntrueAsync(string name) => server.ListAsync<string>(
            $"""
            select c.slice || ': ' || c.rows || ' and ' || count(e._exporter_commit)
            from _exporter_commits c left join "{name}" e on e._exporter_commit = c.commit_id
            where c.export = '{name}' group by c.slice, c.rows having count(e._exporter_commit) <> c.rows
            """);

        public async ValueTask DisposeAsync()
        {
            await _proxy.DisposeAsync();
            await server.DisposeAsync();
        }
    }

    /// <summary>A receiver that now and then refuses, asks for a pause, or breaks the connection before or after it has taken the rows.</summary>
    private sealed class WebhookTarget(WebhookServer server, string secret) : IChaosTarget
    {
        private long _faults;

        public bool HasManifest => false;

        public long Faults => Interlocked.Read(ref _faults);

        public static async Task<WebhookTarget> OpenAsync(int seed)
        {
            var secret = WebhookServer.NewSecret();
            var server = await WebhookServer.StartAsync(secret);
            var (target, random) = (new WebhookTarget(server, secret), new Random(seed));
            server.Fault = _ =>
            {
                lock (random)
                {
                    var fault = random.Next(100) switch
                    {
                        < 2 => new WebhookFault { Status = 503 },
                        < 3 => new WebhookFault { Status = 429, RetryAfter = "1" },
                        < 5 => new WebhookFault(),
                        < 7 => new WebhookFault { Takes = true },
                        _ => null,
                    };
                    Interlocked.Add(ref target._faults, fault is null ? 0 : 1);
                    return fault;
                }
            };
            return target;
        }

        public Task<Destination> MakeAsync(string name, string root) => Task.FromResult(new Destination
        {
            Name = name, Kind = "webhook",
            Settings = new() { ["url"] = server.Url("/" + name).ToString(), ["batch_rows"] = 100 },
            Secrets = new Dictionary<string, string> { ["secret"] = secret },
        });

        public async Task FetchAsync(string name, string root)
        {
            if (server.Conflicts > 0 || !server.Refused.IsEmpty)
            {
                throw new InvalidDataException(string.Create(
                    CultureInfo.InvariantCulture, $"{server.Conflicts} ids came with other rows, {server.Refused.Count} messages were refused."));
            }

            await File.WriteAllLinesAsync(Path.Combine(root, "rows.jsonl"), server.Rows("/" + name));
        }

        public ValueTask DisposeAsync() => server.DisposeAsync();
    }
}

using System.Text;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Cli;

/// <summary>What was given as a secret is nowhere: not in what commands and workers say, not in the database, not beside the exported files.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class SecretsTests
{
    private static readonly string[] Hour = ["--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z"];
    private readonly StringBuilder _said = new();

    // With what base64 and URLs change, as real ones have it.
    private readonly string _accessKey = "AKIA" + Guid.NewGuid().ToString("N")[..16].ToUpperInvariant();
    private readonly string _secretKey = "s3+/" + Guid.NewGuid().ToString("N") + "=";
    private readonly string _wrongSecret = "wrong+/" + Guid.NewGuid().ToString("N");
    private readonly string _typedSecret = "typed+/" + Guid.NewGuid().ToString("N");
    private CliServers _servers = null!;
    private LocalS3 _s3 = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(2000);
        _s3 = await TestServers.S3Async();
        await SayAsync(0, "migrate");
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await (_servers?.DisposeAsync() ?? ValueTask.CompletedTask);

    [Test]
    public async Task Secrets_are_in_no_output_no_log_and_no_table()
    {
        var search = new SecretSearch(
            _servers.PostgresPassword, _servers.Key, LocalClickHouse.Password, _accessKey, _secretKey, _wrongSecret, _typedSecret, _s3.SecretKey);
        await CreateDestinationsAsync();
        await UseDestinationsAsync();
        await MisuseAsync();
        await using (var worker = await _servers.StartWorkerAsync())
        {
            await ExportAsync();
            await SayAsync(1, "doctor");
            await SayAsync(1, "doctor", "--json");
            await worker.TerminateAsync();
            _said.Append((await worker.EndAsync(TimeSpan.FromSeconds(60))).Error);
        }

        var manifests = Directory.GetFiles(_servers.Root, "*", SearchOption.AllDirectories);
        Assert.That(manifests, Is.Not.Empty);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(search.In("output", _said.ToString()), Is.Empty);
            Assert.That(await search.InTablesAsync(_servers), Is.Empty);
            Assert.That(manifests.SelectMany(file => search.In(file, Encoding.Latin1.GetString(File.ReadAllBytes(file)))), Is.Empty);
        }

        // What was looked through is what was meant: names that stand beside the secrets are found.
        var beside = new SecretSearch("http://127.0.0.1:1", "access_key, secret_key");
        Assert.That(beside.In("output", _said.ToString()).Count(found => found.EndsWith("plain", StringComparison.Ordinal)), Is.EqualTo(2));
        Assert.That(await beside.InTablesAsync(_servers), Has.Some.StartsWith("exports.destination "));
    }

    [TestCase("'x ' || @s, null, null", "plain")]
    [TestCase("encode(convert_to(@s, 'UTF8'), 'base64'), null, null", "in base64")]
    [TestCase("encode(convert_to('{\"a\":\"' || @s || '\"}', 'UTF8'), 'base64'), null, null", "in base64")]
    [TestCase("encode(convert_to(@s, 'UTF8'), 'hex'), null, null", "in hexadecimal")]
    [TestCase("null, convert_to('{' || @s || '}', 'UTF8'), null", "in hexadecimal")]
    [TestCase("null, convert_to(encode(convert_to('..' || @s, 'UTF8'), 'base64'), 'UTF8'), null", "in base64")]
    [TestCase("null, null, jsonb_build_object('a', array['b', @s])", "plain")]
    [TestCase("replace(replace(replace(@s, '+', '%2B'), '/', '%2F'), '=', '%3D'), null, null", "in a URL")]
    public async Task The_search_finds_a_secret_that_is_there(string values, string form)
    {
        var search = new SecretSearch(_secretKey);
        Assert.That(await search.InTablesAsync(_servers), Is.Empty);
        await _servers.AskAsync("create table exports.planted (a text, b bytea, c jsonb)");
        try
        {
            await _servers.AskAsync($"insert into exports.planted values ({values.Replace("@s", $"'{_secretKey}'", StringComparison.Ordinal)})");
            Assert.That(await search.InTablesAsync(_servers), Has.Some.StartsWith("exports.planted").And.Some.EndsWith(form));
        }
        finally
        {
            await _servers.AskAsync("drop table exports.planted");
        }
    }

    private async Task CreateDestinationsAsync()
    {
        var file = Path.Combine(_servers.Folder, "secret");
        await File.WriteAllTextAsync(file, _secretKey + "\n");
        string[] dead = ["--bucket", "bucket", "--endpoint", "http://127.0.0.1:1", "--access-key-env", "S3_KEY"];
        await SayAsync(2, ["destination", "create", "s3", "dead", .. dead, "--secret-key-file", file]);
        await SayAsync(0, ["destination", "create", "s3", "dead", .. dead, "--secret-key-file", file, "--skip-test"]);
        await SayAsync(2, ["destination", "create", "s3", "dead", .. dead, "--secret-key-file", file, "--skip-test"]);
        await SayAsync(0, new CliCall { StandardInput = _secretKey }, ["destination", "create", "s3", "piped", .. dead, "--secret-key-file", "-", "--skip-test", "--json"]);

        // A server that answers, and is told a wrong secret.
        string[] wrong = ["--bucket", await _s3.CreateBucketAsync(), "--endpoint", _s3.Endpoint.ToString(), "--access-key-env", "REAL_KEY", "--secret-key-env"];
        await SayAsync(2, ["destination", "create", "s3", "wrong", .. wrong, "WRONG_SECRET"]);
        await SayAsync(0, ["destination", "create", "s3", "wrong", .. wrong, "WRONG_SECRET", "--skip-test"]);
        await SayAsync(0, ["destination", "create", "s3", "right", .. wrong, "REAL_SECRET"]);
        await SayAsync(0, "destination", "create", "files", "files", "--root", _servers.Root);
    }

    private async Task UseDestinationsAsync()
    {
        foreach (var format in (string[][])[[], ["--json"]])
        {
            await SayAsync(0, ["destination", "list", .. format]);
            await SayAsync(0, ["destination", "show", "dead", .. format]);
            await SayAsync(1, ["destination", "test", "dead", .. format]);
            await SayAsync(1, ["destination", "test", "wrong", .. format]);
        }

        await SayAsync(0, "destination", "test", "right");
        await SayAsync(0, "destination", "delete", "piped");
    }

    // Secrets where they must not be, wrong ones, and failures that are told in full.
    private async Task MisuseAsync()
    {
        await SayAsync(2, "destination", "create", "s3", "x", "--bucket", "bucket", "--secret-key", _typedSecret);
        await SayAsync(2, "destination", "create", "s3", "x", "--bucket", "bucket", $"--secret-key={_typedSecret}", "--json");
        await SayAsync(2, "destination", "create", "s3", "x", "--bucket", "bucket", $"--secretkey={_typedSecret}");
        await SayAsync(2, "destination", "list", _typedSecret);
        await SayAsync(2, "destination", "list", "--postgres", $"postgresql://me:{_typedSecret}@127.0.0.1:1/x");
        await SayAsync(2, "destination", "list", "--clickhouse", $"Host=127.0.0.1;Password={_typedSecret}");
        foreach (var (name, value) in ((string, string)[])
        [
            ("EXPORTER_POSTGRES", _servers.Postgres.Replace(_servers.PostgresPassword, _wrongSecret, StringComparison.Ordinal)),
            ("EXPORTER_POSTGRES", $"postgresql://me:{_wrongSecret}@127.0.0.1:1/x"),
            ("EXPORTER_POSTGRES", $"Host=127.0.0.1;Pasword={_wrongSecret}"),
            ("EXPORTER_CLICKHOUSE", _servers.ClickHouse.Replace(LocalClickHouse.Password, _wrongSecret, StringComparison.Ordinal)),
            ("EXPORTER_CLICKHOUSE", $"http://me:{Uri.EscapeDataString(_wrongSecret)}@127.0.0.1:1/x"),
            ("EXPORTER_CLICKHOUSE", $"Host=127.0.0.1;{_wrongSecret}"),
            ("EXPORTER_ENCRYPTION_KEY", _wrongSecret),
        ])
        {
            var call = new CliCall { Environment = { [name] = value, ["EXPORTER_DEBUG"] = "1" } };
            await SayAsync(null, call, "doctor");
            await SayAsync(null, call, ["export", "create", "x", "--destination", "dead", .. Source()]);
        }
    }

    // One run that works, one that its server refuses, one whose server is not there.
    private async Task ExportAsync()
    {
        foreach (var (name, status) in ((string, int?)[])[("files", 0), ("wrong", 1), ("right", 0), ("dead", null)])
        {
            await SayAsync(0, ["export", "create", "to-" + name, "--destination", name, .. Source()]);
            var run = JsonNode.Parse(await SayAsync(status ?? 0, ["export", "run", "to-" + name, .. Hour, .. status is null ? Array.Empty<string>() : ["--wait"], "--json"]))!["run_id"]!;
            if (status is null)
            {
                await Eventually.TrueAsync(
                    async () => await _servers.AskAsync($"select 1 from engine.attempts where run_id = '{run}' and error is not null") is { Count: > 0 }, "an attempt failed");
                await SayAsync(0, "run", "cancel", run.ToString());
            }

            await SayAsync(0, "run", "show", run.ToString());
            await SayAsync(0, "run", "logs", run.ToString());
        }
    }

    private static string[] Source() => ["--table", "events", "--cursor-column", "at", "--every", "1h", "--paused"];

    private Task<string> SayAsync(int status, params string[] arguments) => SayAsync(status, new CliCall(), arguments);

    // Keeps what is said; null is a status that does not matter here.
    private async Task<string> SayAsync(int? status, CliCall call, params string[] arguments)
    {
        foreach (var (name, value) in ((string, string)[])[("S3_KEY", _accessKey), ("REAL_KEY", _s3.AccessKey), ("REAL_SECRET", _s3.SecretKey), ("WRONG_SECRET", _wrongSecret)])
        {
            call.Environment[name] = value;
        }

        var result = await _servers.Cli.RunAsync(call, arguments);
        Assert.That(result.Status, status is null ? Is.Not.EqualTo(130) : Is.EqualTo(status), $"{arguments[0]}: {result.Error}{result.Out}");
        _said.Append(result.Out).Append(result.Error);
        return result.Out;
    }
}

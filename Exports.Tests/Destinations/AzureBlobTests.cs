using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Sas;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.AzureBlob;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Destinations;

public sealed class AzureBlobTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly FormatOptions Plain = new() { Format = FileFormat.JsonLines, Compression = Compression.None };

    private LocalAzurite _server = null!;
    private string _container = "";

    private BlobContainerClient Client => _server.Client().GetBlobContainerClient(_container);

    [SetUp]
    public async Task MakeContainerAsync()
    {
        _server = await TestServers.AzuriteAsync();
        _container = await _server.CreateContainerAsync();
    }

    [Test]
    public async Task A_frozen_attempt_that_comes_back_does_not_replace_the_blob_of_a_newer_one()
    {
        await using var destination = Make();
        await using var frozen = await OpenAsync(destination, token: 1);
        await WriteAsync(frozen, from: 50_000);
        var receipt = await ExportAsync(destination, token: 2);

        var error = await Assert.CatchAsync(() => frozen.CommitAsync(CancellationToken.None));
        Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_frozen_attempt_with_a_single_block_is_refused_too_also_over_a_blob_of_an_earlier_export()
    {
        await using var destination = Make();
        await ExportAsync(destination, token: 1, batches: 1);
        await using var frozen = await OpenAsync(destination, token: 2);
        await WriteAsync(frozen, from: 50_000, batches: 1);
        var receipt = await ExportAsync(destination, token: 3, batches: 1);

        Assert.That(async () => await frozen.CommitAsync(CancellationToken.None), Throws.TypeOf<BlobTakenException>());
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    // It had not sent anything yet, so none of its blocks can be missing when it goes on.
    [TestCase(true)]
    [TestCase(false)]
    public async Task A_frozen_attempt_brings_nothing_back_once_its_slice_is_thrown_away_or_its_run_has_ended(bool ended)
    {
        await using var destination = Make();
        await using var frozen = await OpenAsync(destination, token: 1);
        await using var other = await OpenAsync(destination, token: 2, slice: 1);
        await WriteAsync(other, from: 0, batches: 1);
        var receipt = await other.CommitAsync(CancellationToken.None);
        if (ended)
        {
            await FinishAsync(destination, receipt);
        }
        else
        {
            await ((IDestination)destination).DiscardSliceAsync(Address(token: 2), CancellationToken.None);
        }

        var before = await StoredAsync();
        await WriteAsync(frozen, from: 50_000);
        Assert.That(async () => await frozen.CommitAsync(CancellationToken.None), Throws.TypeOf<BlobTakenException>());
        Assert.That(await StoredAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task Blocks_that_a_zombie_sends_between_those_of_a_newer_attempt_are_no_part_of_its_blob()
    {
        await using var destination = Make();
        await using var frozen = await OpenAsync(destination, token: 1);
        await WriteAsync(frozen, from: 50_000);
        await using var newer = await OpenAsync(destination, token: 2);
        await WriteAsync(newer, from: 0);
        await WriteAsync(frozen, from: 70_000);
        var receipt = await newer.CommitAsync(CancellationToken.None);

        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_zombie_that_commits_before_the_newer_attempt_costs_that_one_its_blocks_and_the_next_replaces_it()
    {
        await using var destination = Make();
        await using var frozen = await OpenAsync(destination, token: 1);
        await WriteAsync(frozen, from: 50_000);
        await using (var newer = await OpenAsync(destination, token: 2))
        {
            await WriteAsync(newer, from: 0);
            await frozen.CommitAsync(CancellationToken.None);
            var error = await Assert.CatchAsync(() => newer.CommitAsync(CancellationToken.None));
            Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        }

        var receipt = await ExportAsync(destination, token: 2);
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_lost_answer_to_the_commit_is_no_failure_when_the_blob_is_there()
    {
        var lost = 0;
        var http = new FaultyAzureHandler(request => FaultyAzureHandler.IsCommit(request) && Interlocked.Increment(ref lost) == 1 ? Fault.LoseAnswer : Fault.None);
        await using var destination = Make(http);
        var receipt = await ExportAsync(destination, token: 1);

        Assert.That(lost, Is.GreaterThan(1), "the SDK has tried again and was told that the blob has changed");
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    // Nor can the blob be looked at: nothing is known but what was recorded.
    [Test]
    public async Task A_commit_whose_answer_never_came_is_found_by_the_next_attempt()
    {
        var (progress, done) = (new KeptProgress(), false);
        await using var cut = Make(new FaultyAzureHandler(request =>
            FaultyAzureHandler.IsCommit(request) && !done && (done = true) ? Fault.LoseAnswer : done ? Fault.Refuse : Fault.None));
        await using (var sink = await cut.OpenSliceAsync(Address(token: 1) with { Progress = progress }, TestBatches.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, from: 0);
            sink.Note("a note");
            Assert.That(async () => await sink.CommitAsync(CancellationToken.None), Throws.Exception);
        }

        await using var destination = Make();
        var found = (await destination.ResumeSliceAsync(Address(token: 2) with { Progress = progress }, CancellationToken.None))!;
        Assert.That(found.Note, Is.EqualTo("a note"));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (found.Receipt.File!, found.Receipt.Sha256!) }));
    }

    [Test]
    public async Task A_commit_that_never_arrived_is_not_taken_for_the_blob_of_an_earlier_export()
    {
        await using var first = Make();
        await ExportAsync(first, token: 1);
        await using var second = Make(new FaultyAzureHandler(request => FaultyAzureHandler.IsCommit(request) ? Fault.Refuse : Fault.None));

        // The same rows: name and size are those of the blob that lies there.
        var error = await Assert.CatchAsync(() => ExportAsync(second, token: 2));
        Assert.That(second.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    [Test]
    public async Task A_manifest_replaces_only_the_one_that_lay_there_and_a_lost_answer_to_it_is_no_failure()
    {
        var (conditions, lost) = (new List<string>(), 0);
        await using var destination = Make(new FaultyAzureHandler(request =>
        {
            if (request.Method != HttpMethod.Put || !request.RequestUri!.AbsolutePath.EndsWith("manifest.json", StringComparison.Ordinal))
            {
                return Fault.None;
            }

            conditions.Add(request.Headers.TryGetValues("If-None-Match", out var none) ? $"none {none.Single()}" : request.Headers.Contains("If-Match") ? "match" : "");
            return Interlocked.Increment(ref lost) == 1 ? Fault.LoseAnswer : Fault.None;
        }));
        var receipt = await ExportAsync(destination, token: 1);
        var manifest = new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] };
        await destination.FinishAsync(manifest, CancellationToken.None);
        await destination.FinishAsync(manifest, CancellationToken.None);

        Assert.That(conditions, Is.EqualTo(new[] { "none *", "none *", "match" }));
    }

    [Test]
    public async Task What_was_sent_is_counted_also_of_an_attempt_that_failed()
    {
        await using var destination = Make(new FaultyAzureHandler(request => FaultyAzureHandler.IsCommit(request) ? Fault.Refuse : Fault.None));
        var sink = await OpenAsync(destination, token: 1);
        await WriteAsync(sink, from: 0);
        Assert.That(async () => await sink.CommitAsync(CancellationToken.None), Throws.Exception);
        await sink.DisposeAsync();
        await using var whole = Make();
        var receipt = await ExportAsync(whole, token: 2);

        Assert.That(sink.BytesSent, Is.EqualTo(receipt.Bytes), "all of its blocks had arrived");
    }

    [TestCase(1)]
    [TestCase(3600)]
    public async Task A_server_that_asks_for_fewer_requests_is_throttling_and_says_how_long(int seconds)
    {
        var clock = Stopwatch.StartNew();
        await using var destination = Make(new FaultyAzureHandler(request => FaultyAzureHandler.IsCommit(request) ? Fault.Throttle : Fault.None) { Pause = TimeSpan.FromSeconds(seconds) });
        var error = await Assert.CatchAsync(() => ExportAsync(destination, token: 1));

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromSeconds(seconds)));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromMinutes(1)), "the run waits, not the attempt");
    }

    // The first one waits for the second: sent one at a time they would never end.
    [Test]
    public async Task As_many_blocks_are_sent_at_once_as_is_set_and_come_back_in_order()
    {
        var (blocks, second) = (0, new TaskCompletionSource());
        await using var destination = Make(new FaultyAzureHandler(_ => Fault.None) { Hold = HoldAsync }, parallelBlocks: 2);
        var receipt = await ExportAsync(destination, token: 1).WaitAsync(TimeSpan.FromSeconds(60));

        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));

        // The very first is the sign.
        Task HoldAsync(HttpRequestMessage request)
        {
            var number = FaultyAzureHandler.IsBlock(request) ? Interlocked.Increment(ref blocks) : 0;
            if (number == 3)
            {
                second.SetResult();
            }

            return number == 2 ? second.Task : Task.CompletedTask;
        }
    }

    [Test]
    public async Task After_a_block_that_is_refused_no_other_is_sent()
    {
        var (sent, blocks) = (new ConcurrentDictionary<string, bool>(), 0);
        await using var destination = Make(new FaultyAzureHandler(request =>
        {
            if (!FaultyAzureHandler.IsBlock(request) || Interlocked.Increment(ref blocks) == 1)
            {
                return Fault.None;
            }

            sent[request.RequestUri!.Query] = true;
            return Fault.Refuse;
        }));
        Assert.That(() => ExportAsync(destination, token: 1), Throws.Exception);

        Assert.That(sent, Has.Count.EqualTo(1), "the one that was refused, however often it was tried");
    }

    [Test]
    public async Task Blobs_get_the_access_tier_that_is_set()
    {
        await using var destination = OpenWith("access_tier", "Cool");
        var receipt = await ExportAsync(destination, token: 1, batches: 1);
        Assert.That((await Client.GetBlobClient(receipt.File).GetPropertiesAsync()).Value.AccessTier, Is.EqualTo("Cool"));
    }

    [Test]
    public async Task A_shared_access_signature_is_enough_and_one_that_may_not_write_is_named()
    {
        await using (var destination = OpenWith("sas_token", SignatureFor(BlobContainerSasPermissions.All)))
        {
            Assert.That(await destination.CheckAsync(CancellationToken.None).ToListAsync(), Has.All.Property(nameof(CheckResult.Ok)).True);
            await FinishAsync(destination, await ExportAsync(destination, token: 1));
        }

        await using var other = OpenWith("sas_token", SignatureFor(BlobContainerSasPermissions.Read | BlobContainerSasPermissions.List));
        var results = await other.CheckAsync(CancellationToken.None).ToListAsync();
        Assert.That((results[^1].Step, results[^1].Ok), Is.EqualTo(("permissions", false)));
        Assert.That(results[^1].Detail, Does.Contain("Setting: sas_token.").And.Not.Contain("sig="));
    }

    [TestCase("container", "no-such-container", "container")]
    [TestCase("account_key", "d3Jvbmc=", "account_key")]
    public async Task A_check_and_an_export_name_the_setting_that_is_wrong(string setting, string value, string named)
    {
        await using var destination = OpenWith(setting, value);
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain($"Setting: {named}.").And.Not.Contain(LocalAzurite.AccountKey));

        var error = await Assert.CatchAsync(() => ExportAsync(destination, token: 1));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo(named));
    }

    [Test]
    public async Task A_server_that_never_answers_is_given_up_in_time()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var endpoint = $"http://127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}/{LocalAzurite.Account}";
        await using var destination = new AzureBlobDestination(
            new AzureBlobOptions { Account = LocalAzurite.Account, Container = _container, AccountKey = LocalAzurite.AccountKey, TimeoutSeconds = 1, Endpoint = endpoint }.Validate(),
            Plain);
        var clock = Stopwatch.StartNew();
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Ok, last.Detail), Is.EqualTo((false, $"{endpoint} did not answer in time.")));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(30)));
    }

    [TestCase(0)]
    [TestCase(17)]
    public void As_many_blocks_at_once_as_no_lane_may_hold_are_refused_by_name(int number) => Assert.That(
        () => Make(parallelBlocks: number), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("parallel_blocks"));

    [TestCase("container", "A/b")]
    [TestCase("account", "x")]
    [TestCase("endpoint", "127.0.0.1:10000")]
    [TestCase("prefix", "a/../b")]
    [TestCase("prefix", "a/{nothing}")]
    [TestCase("account_key", "no base64!")]
    [TestCase("sas_token", "sv=2024-11-04")]
    [TestCase("access_tier", "Archive")]
    [TestCase("tenant_id", "directory")]
    public void A_setting_out_of_range_is_refused_by_name(string setting, string value) => Assert.That(
        () => OpenWith(setting, value),
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting == "tenant_id" ? "client_secret" : setting));

    private static SliceAddress Address(long token, int slice = 0) => new("events", Day, slice, 1, token);

    private static async Task<SliceReceipt> ExportAsync(IDestination destination, long token, int batches = 3)
    {
        await using var sink = await OpenAsync(destination, token);
        await WriteAsync(sink, from: 0, batches);
        return await sink.CommitAsync(CancellationToken.None);
    }

    private static Task<ISliceSink> OpenAsync(IDestination destination, long token, int slice = 0) =>
        destination.OpenSliceAsync(Address(token, slice), TestBatches.Schema, CancellationToken.None);

    private static Task FinishAsync(IDestination destination, SliceReceipt receipt) => destination.FinishAsync(
        new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, CancellationToken.None);

    // Of three batches, whole blocks and the start of another.
    private static async Task WriteAsync(ISliceSink sink, int from, int batches = 3)
    {
        for (var batchOf = 0; batchOf < batches; batchOf++)
        {
            using var batch = TestBatches.Rows(from + (batchOf * 400), 400, textLength: 2_000);
            await sink.WriteAsync(batch, CancellationToken.None);
        }
    }

    private string SignatureFor(BlobContainerSasPermissions permissions) => Client.GenerateSasUri(permissions, TimeProvider.System.GetUtcNow().AddDays(1)).Query;

    private AzureBlobDestination Make(FaultyAzureHandler? http = null, int parallelBlocks = 1) => new(
        new AzureBlobOptions
        {
            Account = LocalAzurite.Account, Container = _container, AccountKey = LocalAzurite.AccountKey, Endpoint = _server.Endpoint.ToString(), BlockSize = 1024 * 1024,
            ParallelBlocks = parallelBlocks,
        }.Validate(),
        Plain,
        http?.Transport);

    private IDestination OpenWith(string setting, string value)
    {
        var secret = setting is "sas_token" or "account_key";
        var destination = new Destination
        {
            Name = "azure",
            Kind = "azure-blob",
            Settings = new()
            {
                ["account"] = LocalAzurite.Account, ["container"] = _container, ["endpoint"] = _server.Endpoint.ToString(), ["block_size"] = 1024 * 1024,
            },
            Secrets = new Dictionary<string, string> { [secret ? setting : "account_key"] = secret ? value : LocalAzurite.AccountKey },
        };
        if (!secret)
        {
            destination.Settings[setting] = value;
        }

        return DestinationKinds.Open(destination, Plain);
    }

    private async Task<List<(string Name, string Sha256)>> StoredAsync()
    {
        var stored = new List<(string, string)>();
        await foreach (var found in Client.GetBlobsAsync(new GetBlobsOptions()))
        {
            stored.Add((found.Name, SliceBytes.Sha256((await Client.GetBlobClient(found.Name).DownloadContentAsync()).Value.Content.ToArray())));
        }

        return stored;
    }
}

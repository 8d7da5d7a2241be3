using System.Collections.Concurrent;
using Amazon.S3.Model;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Destinations;

public sealed class S3Tests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly FormatOptions Plain = new() { Format = FileFormat.JsonLines, Compression = Compression.None };

    private LocalS3 _server = null!;
    private string _bucket = "";

    [SetUp]
    public async Task MakeBucketAsync()
    {
        _server = await TestServers.S3Async();
        _bucket = await _server.CreateBucketAsync();
    }

    [Test]
    public async Task A_part_that_is_refused_once_is_sent_again()
    {
        var refused = 0;
        var http = new FaultyS3Client(request => FaultyS3Client.IsPart(request) && Interlocked.Exchange(ref refused, 1) == 0 ? Fault.Refuse : Fault.None);
        await using var destination = Make(http);
        var receipt = await ExportAsync(destination);

        Assert.That(http.Faults, Is.EqualTo(1));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task Parts_that_are_always_refused_fail_the_attempt_and_the_next_one_is_complete()
    {
        var sent = new ConcurrentDictionary<string, bool>();
        await using var broken = Make(new FaultyS3Client(request => FaultyS3Client.IsPart(request) && (sent[request.RequestUri!.Query] = true) ? Fault.Refuse : Fault.None));
        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => ExportAsync(broken));
        Assert.That(broken.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(sent, Has.Count.EqualTo(1), "no other part is sent in vain");
        Assert.That(await StoredAsync(), Is.Empty);
        Assert.That(await UploadsAsync(), Is.Zero);

        await using var destination = Make();
        var receipt = await ExportAsync(destination);
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_lost_answer_to_the_completion_is_no_failure_when_the_object_is_there()
    {
        var http = new FaultyS3Client(request => FaultyS3Client.IsCompletion(request) ? Fault.LoseAnswer : Fault.None);
        await using var destination = Make(http);
        var receipt = await ExportAsync(destination);

        Assert.That(http.Faults, Is.GreaterThan(0));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    // Nor can the object be looked at: nothing is known but what was recorded.
    [Test]
    public async Task A_completion_whose_answer_never_came_is_found_by_the_next_attempt()
    {
        var (progress, done) = (new KeptProgress(), false);
        await using var cut = Make(new FaultyS3Client(request =>
            FaultyS3Client.IsCompletion(request) && (done = true) ? Fault.LoseAnswer : done ? Fault.Refuse : Fault.None));
        await using (var sink = await OpenAsync(cut, token: 1, progress))
        {
            await WriteAsync(sink, from: 0);
            sink.Note("a note");
            Assert.That(() => sink.CommitAsync(CancellationToken.None), Throws.Exception);
        }

        await using var destination = Make();
        var found = (await destination.ResumeSliceAsync(Address(token: 2, progress), CancellationToken.None))!;
        Assert.That(found.Note, Is.EqualTo("a note"));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (found.Receipt.File!, found.Receipt.Sha256!) }));
    }

    [Test]
    public async Task A_completion_that_never_arrived_is_not_taken_for_the_object_of_an_earlier_export()
    {
        await using var first = Make();
        await ExportAsync(first);
        var http = new FaultyS3Client(request => FaultyS3Client.IsCompletion(request) ? Fault.Refuse : Fault.None);
        await using var second = Make(http);

        // The same rows: key and size are those of the object that lies there.
        Assert.That(() => ExportAsync(second, token: 2), Throws.InstanceOf<Amazon.S3.AmazonS3Exception>());
        Assert.That(await UploadsAsync(), Is.Zero);
    }

    [Test]
    public async Task A_frozen_attempt_that_comes_back_finds_nothing_to_complete()
    {
        await using var destination = Make();
        await using var frozen = await OpenAsync(destination, token: 1);
        await WriteAsync(frozen, from: 50_000);
        var receipt = await ExportAsync(destination, token: 2);

        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => frozen.CommitAsync(CancellationToken.None));
        Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_frozen_attempt_of_a_small_slice_that_comes_back_replaces_nothing()
    {
        await using var zombie = Make();
        await using var frozen = await OpenAsync(zombie, token: 1);
        await WriteSmallAsync(frozen, "late");
        await using var destination = Make();
        await using var next = await OpenAsync(destination, token: 2);
        await WriteSmallAsync(next, "whole");
        var receipt = await next.CommitAsync(CancellationToken.None);
        await destination.FinishAsync(new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, CancellationToken.None);
        var before = await StoredAsync();

        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => frozen.CommitAsync(CancellationToken.None));
        Assert.That(zombie.Classify(error!), Is.EqualTo(new ExportError(ErrorKind.Transient, "Another attempt has written this object meanwhile.")));
        Assert.That(before, Has.Count.EqualTo(2), "the slice and the manifest");
        Assert.That(await StoredAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task A_frozen_attempt_that_saw_no_rows_removes_nothing_when_it_comes_back()
    {
        await using var zombie = Make();
        await using var frozen = await OpenAsync(zombie, token: 1);
        await using var destination = Make();
        var receipt = await ExportAsync(destination, token: 2);

        Assert.That(() => frozen.CommitAsync(CancellationToken.None), Throws.InstanceOf<IOException>());
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_lost_answer_to_a_small_slice_is_no_failure_when_the_object_is_there()
    {
        var lost = 0;
        var http = new FaultyS3Client(request =>
            request.Method == HttpMethod.Put && request.RequestUri!.AbsolutePath.EndsWith("slice-00000.jsonl", StringComparison.Ordinal) && Interlocked.Increment(ref lost) < 4
                ? Fault.LoseAnswer
                : Fault.None);
        await using var destination = Make(http);
        await using var sink = await OpenAsync(destination, token: 1);
        await WriteSmallAsync(sink, "row");
        var receipt = await sink.CommitAsync(CancellationToken.None);

        Assert.That(http.Faults, Is.GreaterThan(0));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_manifest_replaces_only_the_one_that_lay_there()
    {
        await using var destination = Make();
        var receipt = await ExportAsync(destination);
        var manifest = new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] };
        var conditions = new List<string>();
        await using var watched = Make(new FaultyS3Client(request =>
        {
            if (request.Method == HttpMethod.Put && request.RequestUri!.AbsolutePath.EndsWith("manifest.json", StringComparison.Ordinal))
            {
                conditions.Add(request.Headers.TryGetValues("If-None-Match", out var none) ? $"none {none.Single()}" : request.Headers.Contains("If-Match") ? "match" : "");
            }

            return Fault.None;
        }));
        await watched.FinishAsync(manifest, CancellationToken.None);
        await watched.FinishAsync(manifest, CancellationToken.None);

        Assert.That(conditions, Is.EqualTo(new[] { "none *", "match" }));
    }

    [Test]
    public async Task A_check_tries_whether_conditions_are_honoured()
    {
        await using var destination = Make();
        var results = await destination.CheckAsync(CancellationToken.None).ToListAsync();
        Assert.That(results.Single(result => result.Step == "write").Detail, Does.EndWith("conditional writes are honoured."));
    }

    [Test]
    public async Task A_server_that_asks_for_fewer_requests_is_throttling()
    {
        await using var destination = Make(new FaultyS3Client(request => FaultyS3Client.IsPart(request) ? Fault.Throttle : Fault.None));
        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => ExportAsync(destination));
        Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Throttled));
    }

    [Test]
    public async Task A_gateway_that_dies_half_way_costs_the_attempt_and_nothing_else()
    {
        await using var destination = Make();
        await using (var sink = await OpenAsync(destination, token: 1))
        {
            await WriteAsync(sink, from: 0);
            await _server.KillGatewayAsync();
            try
            {
                var error = await Assert.ThrowsAsync<HttpRequestException>(() => sink.CommitAsync(CancellationToken.None));
                Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
            }
            finally
            {
                await _server.StartGatewayAsync();
            }
        }

        var receipt = await ExportAsync(destination, token: 2);
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
        Assert.That(await UploadsAsync(), Is.Zero);
    }

    [TestCase(10)]
    [TestCase(6_000)]
    public async Task Objects_are_encrypted_with_the_key_that_is_named_and_come_back_as_they_were(int rows)
    {
        await using var destination = new S3Destination(Options(encryption: "sse_kms", kmsKey: CephConfiguration.KmsKey), Plain);
        await using var sink = await OpenAsync(destination, token: 1);
        for (var from = 0; from < rows; from += 1_000)
        {
            using var batch = TestBatches.Rows(from, Math.Min(1_000, rows - from), textLength: 2_000);
            await sink.WriteAsync(batch, CancellationToken.None);
        }

        var receipt = await sink.CommitAsync(CancellationToken.None);
        using var client = _server.CreateClient();
        var found = await client.GetObjectMetadataAsync(_bucket, receipt.File);
        Assert.That((found.ServerSideEncryptionMethod.Value, found.ServerSideEncryptionKeyManagementServiceKeyId), Is.EqualTo(("aws:kms", CephConfiguration.KmsKey)));
        Assert.That(await StoredAsync(), Is.EqualTo(new[] { (receipt.File!, receipt.Sha256!) }));
    }

    [Test]
    public async Task A_storage_class_that_the_server_has_not_is_said_in_a_sentence()
    {
        await using var destination = Open("storage_class", "STANDARD_IA");
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("permissions", false)));
        Assert.That(last.Detail, Does.Contain("does not store objects as STANDARD_IA: InvalidArgument.").And.Contain("Setting: storage_class."));
    }

    [TestCase("s3:PutObject", "permissions")]
    [TestCase("s3:GetObject", "write")]
    [TestCase("s3:ListBucket", "connect")]
    public async Task A_key_that_may_not_do_something_is_said_in_a_sentence(string action, string step)
    {
        using var client = _server.CreateClient();
        await client.PutBucketPolicyAsync(new PutBucketPolicyRequest
        {
            BucketName = _bucket,
            Policy = $$"""
                {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "{{action}}", "Resource": ["arn:aws:s3:::{{_bucket}}", "arn:aws:s3:::{{_bucket}}/*"]}]}
                """,
        });
        await using var destination = Make();
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo((step, false)));
        Assert.That(last.Detail, Does.StartWith($"The access key may not do this in bucket {_bucket}").And.Contains("Setting: access_key. Let it list the bucket"));
    }

    [TestCase("bucket", "no-such-bucket", "bucket")]
    [TestCase("access_key", "nobody", "access_key")]
    [TestCase("secret_key", "wrong", "secret_key")]
    public async Task A_check_names_the_setting_that_is_wrong(string setting, string value, string named)
    {
        await using var destination = Open(setting, value);
        var results = await destination.CheckAsync(CancellationToken.None).ToListAsync();

        Assert.That(results[^1].Ok, Is.False);
        Assert.That(results[^1].Detail, Does.Contain($"Setting: {named}."));
        Assert.That(results[^1].Detail, Does.Not.Contain(_server.SecretKey));
    }

    [TestCase("bucket", "no-such-bucket", "bucket")]
    [TestCase("access_key", "nobody", "access_key")]
    [TestCase("secret_key", "wrong", "secret_key")]
    public async Task An_export_names_the_setting_that_is_wrong(string setting, string value, string named)
    {
        await using var destination = Open(setting, value);
        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => ExportAsync(destination));

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo(named));
    }

    [TestCase("bucket", "a/b")]
    [TestCase("endpoint", "127.0.0.1:9000")]
    [TestCase("region", "")]
    [TestCase("prefix", "a/../b")]
    [TestCase("secret_key", "")]
    [TestCase("encryption", "sse_c")]
    [TestCase("encryption", "aes")]
    [TestCase("kms_key", "key")]
    [TestCase("storage_class", "standard-ia")]
    [TestCase("storage_class", "DEEP_ARCHIVE")]
    [TestCase("expected_bucket_owner", "me")]
    [TestCase("role_arn", "exports")]
    [TestCase("prefix", "a/{nothing}")]
    public void A_setting_out_of_range_is_refused_by_name(string setting, string value) => Assert.That(
        () => Open(setting, value), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting));

    [Test]
    public async Task Every_code_that_is_sorted_is_in_the_documentation()
    {
        var page = await File.ReadAllTextAsync(Repository.PathOf("docs/destinations/s3.md"));
        Assert.That(S3ErrorTable.Codes.Where(code => !page.Contains(code, StringComparison.Ordinal)), Is.Empty);
    }

    [TestCase(5_242_879L)]
    [TestCase(536_870_913L)]
    public void A_part_size_out_of_range_is_refused_by_name(long size) => Assert.That(
        () => new S3Options { Bucket = "bucket", PartSize = size }.Validate(),
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("part_size"));

    private static async Task<SliceReceipt> ExportAsync(IDestination destination, long token = 1)
    {
        await using var sink = await OpenAsync(destination, token);
        await WriteAsync(sink, from: 0);
        return await sink.CommitAsync(CancellationToken.None);
    }

    private static SliceAddress Address(long token, ISliceProgress? progress = null) => new("events", Day, 0, 1, token) { Progress = progress };

    private static Task<ISliceSink> OpenAsync(IDestination destination, long token, ISliceProgress? progress = null) =>
        destination.OpenSliceAsync(Address(token, progress), TestBatches.Schema, CancellationToken.None);

    private static async Task WriteSmallAsync(ISliceSink sink, string text)
    {
        using var batch = TestBatches.Rows(text.Length, 10, textLength: 20 + text.Length);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    // 12 MB: two whole parts and the start of a third.
    private static async Task WriteAsync(ISliceSink sink, int from)
    {
        for (var batchOf = 0; batchOf < 6; batchOf++)
        {
            using var batch = TestBatches.Rows(from + (batchOf * 1_000), 1_000, textLength: 2_000);
            await sink.WriteAsync(batch, CancellationToken.None);
        }
    }

    private S3Destination Make(FaultyS3Client? http = null) => new(Options(), Plain, http);

    private S3Options Options(string? encryption = null, string? kmsKey = null) => new S3Options
    {
        Bucket = _bucket,
        Endpoint = _server.Endpoint.ToString(),
        AccessKey = _server.AccessKey,
        SecretKey = _server.SecretKey,
        PartSize = 5 * 1024 * 1024,
        Encryption = encryption,
        KmsKey = kmsKey,
    }.Validate();

    private IDestination Open(string setting, string value)
    {
        var destination = new Destination
        {
            Name = "s3",
            Kind = "s3",
            Settings = new() { ["bucket"] = _bucket, ["endpoint"] = _server.Endpoint.ToString() },
            Secrets = new Dictionary<string, string> { ["access_key"] = _server.AccessKey, ["secret_key"] = _server.SecretKey },
        };
        if (destination.Secrets.ContainsKey(setting))
        {
            ((Dictionary<string, string>)destination.Secrets)[setting] = value;
        }
        else
        {
            destination.Settings[setting] = value;
        }

        return DestinationKinds.Open(destination, Plain);
    }

    private async Task<List<(string Key, string Sha256)>> StoredAsync()
    {
        using var client = _server.CreateClient();
        var stored = new List<(string, string)>();
        foreach (var found in (await client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = _bucket })).S3Objects ?? [])
        {
            using var answer = await client.GetObjectAsync(_bucket, found.Key);
            using var content = new MemoryStream();
            await answer.ResponseStream.CopyToAsync(content);
            stored.Add((found.Key, SliceBytes.Sha256(content.ToArray())));
        }

        return stored;
    }

    private async Task<int> UploadsAsync()
    {
        using var client = _server.CreateClient();
        return (await client.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = _bucket })).MultipartUploads?.Count ?? 0;
    }
}

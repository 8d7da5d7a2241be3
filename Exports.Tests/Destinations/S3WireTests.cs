using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Formats;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What is asked of an S3 server, as it is on the wire: Ceph's gateway stands behind, and does not honour all of it.</summary>
public sealed class S3WireTests
{
    private const string NoUploads = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
    private const string NoObjects = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    private static readonly FormatOptions Plain = new() { Format = FileFormat.JsonLines, Compression = Compression.None };

    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private LocalS3 _server = null!;
    private string _bucket = "";
    private S3Recorder _wire = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _server = await TestServers.S3Async();
        _bucket = await _server.CreateBucketAsync();
        _wire = await S3Recorder.StartAsync(_server.Endpoint);
    }

    [TearDown]
    public async Task EndAsync() => await _wire.DisposeAsync();

    [TestCase("sse_s3", null, "AES256", null)]
    [TestCase("sse_kms", "testkey-1", "aws:kms", "testkey-1")]
    public async Task Every_object_is_stored_as_the_settings_say(string encryption, string? key, string header, string? keyHeader)
    {
        // The test server encrypts nothing: it is not asked, and the answers are as Amazon's.
        _wire.Answer = Amazon;
        await using var destination = Open(("encryption", encryption), ("kms_key", key), ("storage_class", "STANDARD"), ("expected_bucket_owner", "123456789012"));
        await ExportAsync(destination, Slice(0), rows: 10);
        await ExportAsync(destination, Slice(1), rows: 6_000);

        var begun = _wire.Requests.Where(request => request.Method == "POST" && request.Query == "?uploads").ToList();
        var objects = _wire.Requests.Where(request => request is { Method: "PUT", IsPart: false } && request.Path.EndsWith("slice-00000.jsonl", StringComparison.Ordinal)).Concat(begun).ToList();
        Assert.That((objects.Count, begun.Count), Is.EqualTo((2, 1)));
        Assert.That(objects.Select(one => one.Header("x-amz-server-side-encryption")), Is.All.EqualTo(header));
        Assert.That(objects.Select(one => one.Header("x-amz-server-side-encryption-aws-kms-key-id")), Is.All.EqualTo(keyHeader));
        Assert.That(objects.Select(one => one.Header("x-amz-storage-class")), Is.All.EqualTo("STANDARD"));
        Assert.That(_wire.Requests.Select(one => one.Header("x-amz-expected-bucket-owner")), Is.All.EqualTo("123456789012"), "with every request");
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task Bodies_go_in_chunks_with_a_checksum_or_as_one_signed_piece(bool chunked)
    {
        _wire.Answer = Amazon;
        await using var destination = Open(("chunked", chunked));
        await ExportAsync(destination, Slice(0), rows: 10);

        var put = _wire.Requests.Single(request => request.Method == "PUT" && request.Path.EndsWith("slice-00000.jsonl", StringComparison.Ordinal));
        Assert.That(put.Header("x-amz-content-sha256"), chunked ? Does.StartWith("STREAMING-") : Does.Match("^[0-9a-f]{64}$"));
        Assert.That(put.Header("x-amz-trailer") is not null, Is.EqualTo(chunked));
    }

    [Test]
    public async Task A_role_is_assumed_with_its_external_id_and_its_keys_are_used()
    {
        _wire.Answer = request => request.Text.Contains("Action=AssumeRole", StringComparison.Ordinal)
            ? (200, "Content-Type: text/xml",
                """
                <AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
                <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>roletoken</SessionToken>
                <Expiration>2090-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>
                """)
            : Amazon(request);
        await using var destination = Open(
            ("role_arn", "arn:aws:iam::123456789012:role/exports"), ("external_id", "e-1"), ("sts_endpoint", _wire.Address.ToString()));
        await ExportAsync(destination, Slice(0), rows: 10);

        var assumed = _wire.Requests.Single(request => request.Text.Contains("Action=AssumeRole", StringComparison.Ordinal));
        Assert.That(assumed.Text, Does.Contain("ExternalId=e-1").And.Contain("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fexports"));
        Assert.That(assumed.Header("authorization"), Does.Contain($"Credential={_server.AccessKey}/"));
        var others = _wire.Requests.Where(request => request != assumed).ToList();
        Assert.That(others.Select(one => one.Header("x-amz-security-token")), Is.All.EqualTo("roletoken"));
        Assert.That(others.Select(one => one.Header("authorization")), Is.All.Contains("Credential=ASIAROLE/"));
    }

    [Test]
    public async Task A_role_that_may_not_be_assumed_is_the_users_to_mend()
    {
        _wire.Answer = _ => (403, "Content-Type: text/xml", "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>");
        await using var destination = Open(("role_arn", "arn:aws:iam::123456789012:role/exports"), ("sts_endpoint", _wire.Address.ToString()));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain("The role cannot be assumed").And.Contain("Setting: role_arn."));
    }

    [Test]
    public async Task Parts_are_sent_side_by_side_as_many_as_asked_for()
    {
        var three = new TaskCompletionSource();
        var parts = 0;
        _wire.Hold = request =>
        {
            if (request.IsPart && Interlocked.Increment(ref parts) == 3)
            {
                three.SetResult();
            }

            return request.IsPart ? three.Task : Task.CompletedTask;
        };
        await using var destination = Open(("parallel_parts", 3));
        var receipt = await ExportAsync(destination, Slice(0), rows: 20_000);

        Assert.That(_wire.MostPartsAtOnce, Is.EqualTo(3));
        using var client = _server.CreateClient();
        using var found = await client.GetObjectAsync(_bucket, receipt.File);
        using var content = new MemoryStream();
        await found.ResponseStream.CopyToAsync(content);
        Assert.That(SliceBytes.Sha256(content.ToArray()), Is.EqualTo(receipt.Sha256));
    }

    [Test]
    public async Task Retry_After_is_passed_on()
    {
        _wire.Answer = _ => (503, "Retry-After: 77", "<Error><Code>SlowDown</Code><Message>slow</Message></Error>");
        await using var destination = Open();
        var error = await Assert.ThrowsAsync<Amazon.S3.AmazonS3Exception>(() => ExportAsync(destination, Slice(0), rows: 10));

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromSeconds(77)));
    }

    [TestCase(400, "AuthorizationHeaderMalformed", "region")]
    [TestCase(301, "PermanentRedirect", "region")]
    [TestCase(400, "IllegalLocationConstraintException", "region")]
    [TestCase(403, "AccessDenied", "access_key")]
    [TestCase(400, "ExpiredToken", "access_key")]
    [TestCase(403, "QuotaExceeded", "bucket")]
    [TestCase(507, "XMinioStorageFull", "bucket")]
    [TestCase(400, "KMS.DisabledException", "kms_key")]
    [TestCase(400, "InvalidStorageClass", "storage_class")]
    [TestCase(400, "XAmzContentSHA256Mismatch", "chunked")]
    [TestCase(501, "NotImplemented", "endpoint")]
    [TestCase(405, "MethodNotAllowed", "endpoint")]
    public async Task An_answer_of_amazons_names_the_setting(int status, string code, string setting)
    {
        _wire.Answer = _ => (status, "Content-Type: application/xml", $"<Error><Code>{code}</Code><Message>no</Message></Error>");
        await using var destination = Open(("chunked", setting == "chunked"));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain($"Setting: {setting}."));
    }

    [Test]
    public async Task An_endpoint_that_nobody_listens_at_is_said_in_a_sentence()
    {
        await using var destination = Open(("endpoint", "http://127.0.0.1:9"));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.StartWith("http://127.0.0.1:9 cannot be reached: Connection refused"));
    }

    // No server of these answers there: what matters is where a request would go.
    [TestCase(null, null, "https://bucket.s3.eu-central-1.amazonaws.com/p/")]
    [TestCase(null, true, "https://s3.eu-central-1.amazonaws.com/bucket/p/")]
    [TestCase("http://storage.example:9000", null, "http://storage.example:9000/bucket/p/")]
    [TestCase("http://storage.example:9000", false, "http://bucket.storage.example:9000/p/")]
    public async Task The_bucket_stands_in_the_host_or_in_the_path(string? endpoint, bool? pathStyle, string start)
    {
        var asked = new ConcurrentQueue<Uri>();
        await using var destination = new S3Destination(
            new S3Options
            {
                Bucket = "bucket", Region = "eu-central-1", Endpoint = endpoint, ForcePathStyle = pathStyle, Prefix = "p", AccessKey = "key", SecretKey = "secret",
                ConditionalWrites = false,
            }.Validate(),
            Plain,
            new FaultyS3Client(request =>
            {
                asked.Enqueue(request.RequestUri!);
                return request.Method == HttpMethod.Put ? Fault.Forbid : Fault.Take;
            }));
        Assert.That(() => ExportAsync(destination, Slice(0), rows: 10), Throws.InstanceOf<Amazon.S3.AmazonS3Exception>());

        Assert.That(asked.Last().ToString(), Does.StartWith(start + "events/"));
    }

    [Test]
    public async Task An_endpoint_that_never_answers_is_said_in_a_sentence()
    {
        var never = new TaskCompletionSource();
        _wire.Hold = _ => never.Task;
        await using var destination = Open(("timeout_seconds", 1));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        never.SetResult();

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.EndWith("did not answer in time."));
    }

    [Test]
    public async Task A_server_that_ignores_conditions_is_noticed_and_used_without_them()
    {
        _wire.Answer = Amazon;
        await using var destination = Open();
        await ExportAsync(destination, Slice(0), rows: 10);

        var puts = _wire.Requests.Where(request => request.Method == "PUT").ToList();
        Assert.That(puts.Count(put => put.Path.Contains(".exporter-try-", StringComparison.Ordinal)), Is.EqualTo(2), "it was tried once");
        Assert.That(puts.Single(put => put.Path.EndsWith("slice-00000.jsonl", StringComparison.Ordinal)).Header("if-none-match"), Is.Null);
    }

    // As Amazon answers, where the server behind would not; conditions it takes for nothing.
    private static (int, string?, string)? Amazon(S3Request request) => (request.Method, request.Query) switch
    {
        ("HEAD", _) => (404, null, ""),
        ("DELETE", _) => (204, null, ""),
        ("GET", var query) => (200, "Content-Type: application/xml", query.Contains("uploads", StringComparison.Ordinal) ? NoUploads : NoObjects),
        ("POST", "?uploads") => (200, "Content-Type: application/xml", "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"),
        ("POST", _) => (200, "Content-Type: application/xml", "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>"),
        _ => (200, "ETag: \"1\"", ""),
    };

    private static SliceAddress Slice(int number) => new("events", Day, number, 1, 1);

    private static async Task<SliceReceipt> ExportAsync(IDestination destination, SliceAddress address, int rows)
    {
        await using var sink = await destination.OpenSliceAsync(address, TestBatches.Schema, CancellationToken.None);
        for (var from = 0; from < rows; from += 1_000)
        {
            using var batch = TestBatches.Rows(from, Math.Min(1_000, rows - from), textLength: 1_000);
            await sink.WriteAsync(batch, CancellationToken.None);
        }

        return await sink.CommitAsync(CancellationToken.None);
    }

    private IDestination Open(params (string Setting, object? Value)[] given)
    {
        var settings = new JsonObject { ["bucket"] = _bucket, ["endpoint"] = _wire.Address.ToString(), ["part_size"] = 5 * 1024 * 1024 };
        foreach (var (setting, value) in given.Where(one => one.Value is not null))
        {
            settings[setting] = value switch { int number => JsonValue.Create(number), bool yes => JsonValue.Create(yes), _ => JsonValue.Create((string)value!) };
        }

        return DestinationKinds.Open(
            new Destination
            {
                Name = "s3", Kind = "s3", Settings = settings,
                Secrets = new Dictionary<string, string> { ["access_key"] = _server.AccessKey, ["secret_key"] = _server.SecretKey },
            },
            Plain);
    }
}

using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Resumable uploads against the double: short, broken, lost, forgotten.</summary>
public sealed class BigQueryUploadTests
{
    private const int Chunk = 256 * 1024;
    private BigQueryServer _server = null!;
    private int _jobs;

    [OneTimeSetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [SetUp]
    public void Reset()
    {
        (_server.Fault, _server.Tokens.Expired, _server.Tokens.Skew, _server.Tokens.Status, _server.Uploads.Forgets) = (_ => null, 0, default, 0, false);
        _server.Calls.Clear();
    }

    [Test]
    public async Task A_file_is_sent_in_chunks_and_loaded_at_its_end()
    {
        var file = await FileAsync();
        await UploadAsync(file);
        Assert.That(file.Length, Is.GreaterThan(2 * Chunk));
        Assert.That(Kinds("upload.put"), Is.EqualTo((file.Length + Chunk - 1) / Chunk));
        Assert.That(Kinds("upload.status"), Is.Zero);
        Assert.That(_server.Uploads.Longest, Is.EqualTo(Chunk));
    }

    [TestCase(1)]
    [TestCase(2)]
    public async Task An_upload_of_which_less_has_arrived_goes_on_from_there(int which)
    {
        var file = await FileAsync();
        var chunks = 0;
        _server.Fault = call => call.Kind == "upload.put" && ++chunks == which ? new BigQueryFault { ShortBy = Chunk } : null;
        await UploadAsync(file, chunk: 2 * Chunk);
        Assert.That(chunks, Is.EqualTo(((file.Length + (2 * Chunk) - 1) / (2 * Chunk)) + 1));
    }

    [TestCase(0, false)]
    [TestCase(503, false)]
    [TestCase(500, true)]
    [TestCase(0, true)]
    public async Task An_upload_that_broke_asks_how_far_it_is_and_goes_on_from_there(int status, bool executes)
    {
        var left = 1;
        _server.Fault = call => call.Kind == "upload.put" && left-- > 0 ? new BigQueryFault { Status = status, Executes = executes } : null;
        await UploadAsync(await FileAsync());
        Assert.That(Kinds("upload.status"), Is.EqualTo(1));
    }

    [Test]
    public async Task An_upload_of_which_a_part_arrived_before_it_broke_goes_on_behind_that()
    {
        var left = 1;
        _server.Fault = call => call.Kind == "upload.put" && left-- > 0 ? new BigQueryFault { Status = 503, ShortBy = Chunk } : null;
        await UploadAsync(await FileAsync(), chunk: 2 * Chunk);
        Assert.That(Kinds("upload.status"), Is.EqualTo(1));
    }

    [TestCase(0)]
    [TestCase(502)]
    public async Task A_last_chunk_whose_answer_is_lost_is_one_job(int status)
    {
        var file = await FileAsync();
        var (chunks, all) = (0, (file.Length + Chunk - 1) / Chunk);
        _server.Fault = call => call.Kind == "upload.put" && ++chunks == all ? new BigQueryFault { Executes = true, Status = status } : null;
        await UploadAsync(file);
    }

    // Its session is gone, but its job is there.
    [Test]
    public async Task An_upload_that_is_gone_behind_its_end_is_found_by_its_job()
    {
        var file = await FileAsync();
        var (chunks, all) = (0, (file.Length + Chunk - 1) / Chunk);
        _server.Fault = call =>
        {
            if (call.Kind == "upload.put" && ++chunks == all)
            {
                return new BigQueryFault { Executes = true };
            }

            _server.Uploads.Forgets = call.Kind == "upload.status";
            return null;
        };
        await UploadAsync(file);
    }

    [Test]
    public async Task An_upload_that_is_gone_is_begun_again_by_the_next_attempt()
    {
        var file = await FileAsync();
        _server.Fault = call =>
        {
            _server.Uploads.Forgets = call.Kind.StartsWith("upload.p", StringComparison.Ordinal);
            return null;
        };
        using var client = Client();
        await NewTableAsync(client);
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var error = (await Assert.CatchAsync<BigQueryException>(async () => await load.SendAsync(Take(file, 0, Chunk), default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options())!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    [Test]
    public async Task An_upload_with_an_expired_token_gets_another()
    {
        var file = await FileAsync();
        var left = 2;
        _server.Fault = call =>
        {
            _server.Tokens.Expired = call.Kind == "upload.put" && left-- > 0 ? 1 : 0;
            return null;
        };
        await UploadAsync(file);
    }

    [Test]
    public async Task A_load_into_a_table_that_has_rows_already_brings_none()
    {
        using var client = Client();
        await NewTableAsync(client);
        var file = await FileAsync();
        for (var time = 0; time < 2; time++)
        {
            var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
            Assert.That(await load.CompleteAsync(Take(file, 0, file.Length), default), time == 0 ? Is.EqualTo(400) : Is.Null);
        }

        Assert.That(await _server.ListAsync("SELECT value FROM \"test-project\".analytics.loaded"), Has.Count.EqualTo(400));
    }

    [Test]
    public async Task After_1500_loads_of_a_day_a_table_takes_no_more()
    {
        _server.Fault = call => call.Kind == "upload.put" ? new BigQueryFault { Fails = new BigQueryFailure(403, "quotaExceeded", "Quota exceeded: Your table exceeded quota for imports or query appends per table.") } : null;
        using var client = Client();
        await NewTableAsync(client);
        var file = await FileAsync();
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var error = (await Assert.CatchAsync<BigQueryException>(() => load.CompleteAsync(Take(file, 0, file.Length), default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options()), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromMinutes(10)));
    }

    private async Task UploadAsync(byte[] file, int chunk = Chunk)
    {
        using var client = Client();
        await NewTableAsync(client);
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var at = 0;
        for (; file.Length - at > chunk; at += chunk)
        {
            await load.SendAsync(Take(file, at, chunk), default);
            Assert.That(load.Sent, Is.EqualTo(at + chunk));
        }

        Assert.That(await load.CompleteAsync(Take(file, at, file.Length - at), default), Is.EqualTo(400));
        Assert.That(load.Sent, Is.EqualTo(file.Length));
        Assert.That(await _server.ListAsync("SELECT value FROM \"test-project\".analytics.loaded"), Has.Count.EqualTo(400));
    }

    private static async Task NewTableAsync(BigQueryClient client)
    {
        await client.DropAsync("loaded", default);
        await client.CreateAsync(new BigQueryNewTable("loaded", [new("value", new BigQueryType("STRING"))]), default);
    }

    private static async Task<byte[]> FileAsync()
    {
        using var file = new EncodedSlice(new FormatOptions { Compression = Compression.None, Dictionary = false }, SliceRows.Schema);
        using var batch = SliceRows.Batch([.. Enumerable.Range(0, 400).Select(row => row + new string('x', 2_000))]);
        await file.EncodeAsync(batch, default);
        await file.CompleteAsync(default);
        using var bytes = file.Output.TakeAll();
        var memory = new MemoryStream();
        await bytes.CopyToAsync(memory, default);
        return memory.ToArray();
    }

    private static ChunkedBytes Take(byte[] file, int from, int count)
    {
        using var stream = new ChunkedStream();
        stream.Write(file, from, count);
        return stream.TakeAll();
    }

    private string Job() => string.Create(CultureInfo.InvariantCulture, $"job_{++_jobs}");

    private int Kinds(string kind) => _server.Calls.Count(call => call.Kind == kind);

    private BigQueryOptions Options(params (string, object?)[] settings) => DestinationOptions.Read<BigQueryOptions>(_server.Configured(settings)).Validate();

    private BigQueryClient Client(params (string, object?)[] settings) => new(Options(settings), TimeProvider.System, TimeSpan.FromMilliseconds(5));
}

using System.Text;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Formats;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>
/// Answers in the shapes that BigQuery's reference shows, with its field names, states and reasons, read by the client; and what it sends.
/// https://cloud.google.com/bigquery/docs/reference/rest and https://cloud.google.com/bigquery/docs/reference/api-uploads.
/// </summary>
public sealed class BigQueryWireTests
{
    private const string Dataset = """{"kind": "bigquery#dataset", "etag": "x", "id": "myproject:mydataset", "datasetReference": {"datasetId": "mydataset", "projectId": "myproject"}, "location": "US"}""";
    private readonly List<string> _asked = [];
    private readonly List<string> _bodies = [];
    private readonly List<string> _ranges = [];

    [SetUp]
    public void Forget()
    {
        _asked.Clear();
        _bodies.Clear();
        _ranges.Clear();
    }

    // Numbers are texts, NULL is null, and what is only in errors did not fail the job.
    [Test]
    public async Task A_query_job_is_looked_at_until_it_is_done_and_its_pages_are_read()
    {
        var result = await AskAsync(
            client => client.QueryAsync("job", "SELECT 1", default),
            (200, Dataset),
            (200, """{"kind": "bigquery#job", "id": "myproject:US.job_1", "jobReference": {"projectId": "myproject", "jobId": "job_1", "location": "US"}, "status": {"state": "PENDING"}}"""),
            (200, """{"kind": "bigquery#job", "status": {"state": "RUNNING"}, "statistics": {"creationTime": "1543000000000", "startTime": "1543000000001"}}"""),
            (200, """{"kind": "bigquery#job", "status": {"state": "DONE", "errors": [{"reason": "invalid", "location": "x", "message": "A warning."}]}}"""),
            (200, """
            {"kind": "bigquery#getQueryResultsResponse", "schema": {"fields": [{"name": "n", "type": "INTEGER", "mode": "NULLABLE"}, {"name": "text", "type": "STRING", "mode": "NULLABLE"}]},
             "jobReference": {"projectId": "myproject", "jobId": "job_1", "location": "US"}, "totalRows": "2", "pageToken": "BFKZ2ZHJP4AQAAASA4EAAEEAQCAAKGQE", "rows": [{"f": [{"v": "9223372036854775807"}, {"v": null}]}],
             "totalBytesProcessed": "0", "jobComplete": true, "cacheHit": true}
            """),
            (200, """{"kind": "bigquery#getQueryResultsResponse", "totalRows": "2", "rows": [{"f": [{"v": "2"}, {"v": "b"}]}], "jobComplete": true}"""));
        Assert.That(result.Rows, Is.EqualTo(new string?[][] { ["9223372036854775807", null], ["2", "b"] }));
        Assert.That(result.Value(1, "text"), Is.EqualTo("b"));
        Assert.That(_asked, Is.EqualTo(new[]
        {
            "GET /bigquery/v2/projects/myproject/datasets/mydataset",
            "POST /bigquery/v2/projects/myproject/jobs",
            "GET /bigquery/v2/projects/myproject/jobs/job_1?location=US",
            "GET /bigquery/v2/projects/myproject/jobs/job_1?location=US",
            "GET /bigquery/v2/projects/myproject/queries/job_1?location=US",
            "GET /bigquery/v2/projects/myproject/queries/job_1?location=US&pageToken=BFKZ2ZHJP4AQAAASA4EAAEEAQCAAKGQE",
        }));
        Assert.That(
            _bodies[1],
            Is.EqualTo("""{"jobReference":{"projectId":"myproject","jobId":"job_1","location":"US"},"configuration":{"query":{"query":"SELECT 1","useLegacySql":false},"jobTimeoutMs":"3600000","labels":{"team":"data"}}}"""));
    }

    [Test]
    public async Task A_job_that_is_there_already_is_looked_at()
    {
        var result = await AskAsync(
            client => client.QueryAsync("job", "SELECT 1", default),
            (200, Dataset),
            (409, """{"error": {"code": 409, "message": "Already Exists: Job myproject:US.job_1", "errors": [{"message": "Already Exists: Job myproject:US.job_1", "domain": "global", "reason": "duplicate"}], "status": "ALREADY_EXISTS"}}"""),
            (200, """{"status": {"state": "DONE"}}"""),
            (200, """{"totalRows": "0", "jobComplete": true}"""));
        Assert.That(result.Rows, Is.Empty);
    }

    [Test]
    public async Task A_job_that_failed_has_its_reason_in_errorResult()
    {
        var error = (await Assert.CatchAsync<BigQueryException>(() => AskAsync(
            client => client.QueryAsync("job", "SELECT 1", default),
            (200, Dataset),
            (200, """{"status": {"state": "RUNNING"}}"""),
            (200, """{"status": {"errorResult": {"reason": "invalidQuery", "location": "query", "message": "Unrecognized name: x at [1:8]"}, "errors": [{"reason": "invalidQuery", "location": "query", "message": "Unrecognized name: x at [1:8]"}], "state": "DONE"}}"""))))!;
        Assert.That((error.Status, error.Reason, error.Message, error.Job), Is.EqualTo((200, "invalidQuery", "Unrecognized name: x at [1:8]", "job_1")));
    }

    [Test]
    public async Task A_quota_that_is_used_up_has_its_reason_in_the_error()
    {
        var error = (await Assert.CatchAsync<BigQueryException>(() => AskAsync(
            client => client.LocationAsync(default),
            (403, """{"error": {"code": 403, "errors": [{"domain": "global", "message": "Quota exceeded: ...", "reason": "quotaExceeded"}], "message": "Quota exceeded: ..."}}"""))))!;
        Assert.That((error.Status, error.Reason, error.Message, error.Job), Is.EqualTo((403, "quotaExceeded", "Quota exceeded: ...", (string?)null)));
    }

    [Test]
    public async Task A_table_has_its_columns_under_their_older_names()
    {
        var table = await AskAsync(client => client.FindAsync("mytable", default), (200, """
            {"kind": "bigquery#table", "etag": "hvQ5TkrC3ZuOSw==", "id": "myproject:mydataset.mytable", "tableReference": {"projectId": "myproject", "datasetId": "mydataset", "tableId": "mytable"},
             "schema": {"fields": [{"name": "Id", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}, {"name": "amount", "type": "NUMERIC", "mode": "NULLABLE", "precision": "10", "scale": "2"},
               {"name": "code", "type": "STRING", "maxLength": "3"}, {"name": "made", "type": "TIMESTAMP", "mode": "REQUIRED", "defaultValueExpression": "CURRENT_TIMESTAMP()"}, {"name": "address", "type": "RECORD", "fields": [{"name": "street", "type": "STRING"}]}]},
             "numBytes": "0", "numLongTermBytes": "0", "numRows": "0", "creationTime": "1543000000000", "type": "TABLE", "location": "US"}
            """));
        Assert.That(table!.Columns.Values.Select(column => $"{column.Name} {column.Type} {column.IsNeeded}"), Is.EqualTo(new[]
        {
            "Id INT64 True", "tags ARRAY<STRING> False", "amount NUMERIC(10,2) False", "code STRING(3) False", "made TIMESTAMP False", "address STRUCT False",
        }));
        Assert.That(table.Etag, Is.EqualTo("hvQ5TkrC3ZuOSw=="));
    }

    [Test]
    public async Task A_table_that_is_not_there_is_none_and_a_dataset_that_is_not_there_an_error()
    {
        Assert.That(
            await AskAsync(client => client.FindAsync("t", default), (404, """{"error": {"code": 404, "message": "Not found: Table myproject:mydataset.t", "errors": [{"message": "Not found: Table myproject:mydataset.t", "domain": "global", "reason": "notFound"}], "status": "NOT_FOUND"}}""")),
            Is.Null);
        Forget();
        Assert.That(
            () => AskAsync(client => client.FindAsync("t", default), (404, """{"error": {"code": 404, "message": "Not found: Dataset myproject:mydataset", "errors": [{"message": "Not found: Dataset myproject:mydataset", "domain": "global", "reason": "notFound"}], "status": "NOT_FOUND"}}""")),
            Throws.TypeOf<BigQueryException>());
    }

    // The page's example, of a file of 2,000,000 bytes, of which 43 have arrived; here its size is said at its end.
    [Test]
    public async Task An_upload_goes_on_behind_the_range_that_the_server_names()
    {
        const int Size = 2_000_000;
        var loaded = await AskAsync(
            async client =>
            {
                var load = await client.LoadAsync("job", "t", [new("value", new BigQueryType("STRING"))], default);
                return await load.CompleteAsync(Bytes(Size), default);
            },
            (200, Dataset),
            (200, ""),
            (503, """{"error": {"code": 503, "message": "Service Unavailable"}}"""),
            (308, "Range: bytes=0-42"),
            (200, """{"kind": "bigquery#job", "status": {"state": "RUNNING"}}"""),
            (200, """{"kind": "bigquery#job", "status": {"state": "DONE"}, "statistics": {"load": {"inputFiles": "1", "inputFileBytes": "2000000", "outputRows": "7", "outputBytes": "9", "badRecords": "0"}}}"""));
        Assert.That(loaded, Is.EqualTo(7));
        Assert.That(_asked[1], Is.EqualTo("POST /upload/bigquery/v2/projects/myproject/jobs?uploadType=resumable"));
        Assert.That(_ranges, Is.EqualTo(new[] { "bytes 0-1999999/2000000 (2000000)", "bytes */2000000 (0)", "bytes 43-1999999/2000000 (1999957)" }));
        Assert.That(
            _bodies[1],
            Is.EqualTo("""{"jobReference":{"projectId":"myproject","jobId":"job","location":"US"},"configuration":{"load":{"sourceFormat":"PARQUET","destinationTable":{"projectId":"myproject","datasetId":"mydataset","tableId":"t"},"schema":{"fields":[{"name":"value","type":"STRING","mode":"NULLABLE"}]},"createDisposition":"CREATE_NEVER","writeDisposition":"WRITE_EMPTY","parquetOptions":{"enableListInference":true}},"jobTimeoutMs":"3600000","labels":{"team":"data"}}}"""));
    }

    [Test]
    public async Task A_session_elsewhere_gets_no_byte_and_no_token()
    {
        Assert.That(
            () => AskAsync(client => client.LoadAsync("job", "t", [], default), (200, Dataset), (200, "Location: http://attacker.invalid/upload")),
            Throws.TypeOf<BigQueryException>().With.Message.Contains("attacker.invalid"));
        await Task.CompletedTask;
    }

    private static ChunkedBytes Bytes(int count)
    {
        using var stream = new ChunkedStream();
        stream.Write(new byte[count]);
        return stream.TakeAll();
    }

    private async Task<T> AskAsync<T>(Func<BigQueryClient, Task<T>> ask, params (int Status, string Body)[] answers)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using var app = builder.Build();
        app.Run(async http =>
        {
            _asked.Add($"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}");
            using (var reader = new StreamReader(http.Request.Body, Encoding.UTF8))
            {
                var body = await reader.ReadToEndAsync();
                _bodies.Add(http.Request.Method == "PUT" ? "" : body);
                if (http.Request.Method == "PUT")
                {
                    _ranges.Add($"{http.Request.Headers.ContentRange} ({body.Length})");
                }
            }

            var (status, answer) = answers[_asked.Count - 1];
            http.Response.StatusCode = status;
            if (http.Request.Path.StartsWithSegments("/upload") && http.Request.Method == "POST")
            {
                http.Response.Headers.Location = answer.StartsWith("Location: ", StringComparison.Ordinal) ? answer[10..] : $"http://{http.Request.Host}/upload/bigquery/v2/projects/myproject/jobs?uploadType=resumable&upload_id=xa298sd_sdlkj2";
            }
            else if (answer.StartsWith("Range: ", StringComparison.Ordinal))
            {
                http.Response.Headers["Range"] = answer[7..];
            }
            else
            {
                http.Response.ContentType = "application/json";
                await http.Response.WriteAsync(answer);
            }
        });
        await app.StartAsync();
        var options = new BigQueryOptions { Project = "myproject", Dataset = "mydataset", Endpoint = app.Urls.Single(), Labels = "team=data" };
        using var client = new BigQueryClient(options, TimeProvider.System, TimeSpan.FromMilliseconds(1));
        return await ask(client);
    }
}

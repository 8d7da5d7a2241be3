using System.Text;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Snowflake;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>
/// Answers in the shapes that Snowflake's documentation shows, with its codes, handles and field names, read by the client:
/// https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses and its neighbours.
/// </summary>
public sealed class SnowflakeWireTests
{
    private const string Handle = "019d6ed0-0502-3101-0000-096d0042107e";

    // Values are texts whatever their type, NULL is null, and a second partition has nothing but data.
    [Test]
    public async Task A_result_set_is_read_with_its_partitions()
    {
        var result = await AskAsync(
            (200, """
            {"resultSetMetaData": {"numRows": 3, "format": "jsonv2", "rowType": [
                {"name": "ROWNUM", "type": "FIXED", "length": 0, "precision": 38, "scale": 0, "nullable": false},
                {"name": "ACCOUNT_ID", "type": "TEXT", "length": 1024, "precision": 0, "scale": 0, "nullable": true}],
              "partitionInfo": [{"rowCount": 2, "uncompressedSize": 124067, "compressedSize": 29591}, {"rowCount": 1, "uncompressedSize": 84591, "compressedSize": 39559}]},
             "code": "090001", "statementStatusUrl": "/api/v2/statements/019d6ed0-0502-3101-0000-096d0042107e?requestId=5", "sqlState": "00000",
             "statementHandle": "019d6ed0-0502-3101-0000-096d0042107e", "message": "Statement executed successfully.", "createdOn": 1597090533987,
             "data": [["0", "customer1"], ["1", null]]}
            """),
            (200, """{"data": [["2", "customer3"]]}"""));
        Assert.That(result.Rows, Is.EqualTo(new string?[][] { ["0", "customer1"], ["1", null], ["2", "customer3"] }));
        Assert.That(result.Value(2, "account_id"), Is.EqualTo("customer3"));
        Assert.That(_asked[1], Is.EqualTo($"GET /api/v2/statements/{Handle}?partition=1"));
    }

    [Test]
    public async Task A_status_of_a_statement_under_way_says_where_to_look()
    {
        var result = await AskAsync(
            (202, """
            {"code": "333334", "sqlState": "00000", "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
             "statementHandle": "019d6ed0-0502-3101-0000-096d0042107e", "statementStatusUrl": "/api/v2/statements/019d6ed0-0502-3101-0000-096d0042107e?requestId=7", "createdOn": 1597090533987}
            """),
            (200, """{"resultSetMetaData": {"numRows": 1, "format": "jsonv2", "rowType": [{"name": "status"}]}, "code": "090001", "data": [["done"]]}"""));
        Assert.That(result.Value(0, "status"), Is.EqualTo("done"));
        Assert.That(_asked[1], Is.EqualTo($"GET /api/v2/statements/{Handle}?requestId=7"));
    }

    [Test]
    public async Task Each_of_several_statements_is_found_by_its_own_handle()
    {
        var result = await AskAsync(
            true,
            (200, """
            {"resultSetMetaData": {"numRows": 1, "format": "jsonv2", "rowType": [{"name": "multiple statement execution", "type": "text", "nullable": false}]},
             "data": [["Multiple statements executed successfully."]], "code": "090001", "sqlState": "00000",
             "statementHandles": ["019d6ed0-0502-3101-0000-096d00421082", "019d6ed0-0502-3101-0000-096d00421086"],
             "statementHandle": "019d6ed0-0502-3101-0000-096d0042107e", "message": "Statement executed successfully.", "createdOn": 1625684162876}
            """),
            (200, """{"resultSetMetaData": {"numRows": 1, "rowType": [{"name": "I"}]}, "code": "090001", "data": [["1"]]}"""));
        Assert.That(result.Value(0, "I"), Is.EqualTo("1"));
        Assert.That(_asked[1], Is.EqualTo("GET /api/v2/statements/019d6ed0-0502-3101-0000-096d00421086"));
        Assert.That(_body, Does.Contain("\"MULTI_STATEMENT_COUNT\":\"2\""));
    }

    [Test]
    public async Task A_failure_of_one_statement_has_code_state_and_handle()
    {
        var error = (await Assert.CatchAsync<SnowflakeException>(() => AskAsync((422, """
            {"code": "002140", "sqlState": "42601", "message": "SQL compilation error", "statementHandle": "e4ce975e-f7ff-4b5e-b15e-bf25f59371ae", "createdOn": 1597090533987}
            """))))!;
        Assert.That((error.Status, error.Code, error.SqlState, error.Handle, error.Cause), Is.EqualTo((422, "002140", "42601", "e4ce975e-f7ff-4b5e-b15e-bf25f59371ae", "SQL compilation error")));
    }

    [Test]
    public async Task A_failure_of_one_of_several_has_its_message_inside()
    {
        var error = (await Assert.CatchAsync<SnowflakeException>(() => AskAsync((422, """
            {"code": "100132", "message": "JavaScript execution error: Uncaught Execution of multiple statements failed on statement \"insert into table1 (i) values ...\" (at line 1, position 75).\nNumeric value 'This is not a valid integer.' is not recognized in SYSTEM$MULTISTMT at '    throw `Execution of multiple statements failed on statement {0} (at line {1}, position {2}).`.replace('{1}', LINES[i])' position 4\nstackstrace: \nSYSTEM$MULTISTMT line: 10",
             "sqlState": "P0000", "statementHandle": "019d6e97-0502-317e-0000-096d0041f036"}
            """))))!;
        Assert.That(error.Cause, Is.EqualTo("Numeric value 'This is not a valid integer.' is not recognized"));
        var sorted = SnowflakeErrors.Sort(error, Options(new Uri("http://localhost")))!;
        Assert.That((sorted.Kind, sorted.Setting, sorted.Message), Is.EqualTo((ErrorKind.User, "columns", "Snowflake cannot hold a value: Numeric value '...' is not recognized.")));
    }

    [Test]
    public async Task A_request_has_the_headers_and_the_body_that_the_API_asks_for()
    {
        await AskAsync((200, """{"resultSetMetaData": {"rowType": []}, "data": []}"""));
        Assert.That(_headers, Is.SupersetOf(new[]
        {
            "Authorization: Bearer token", "X-Snowflake-Authorization-Token-Type: PROGRAMMATIC_ACCESS_TOKEN", "Accept: application/json", "User-Agent: exporter/1.0", "Content-Type: application/json",
        }));
        Assert.That(_asked[0], Does.Match("^POST /api/v2/statements\\?requestId=[0-9a-f-]{36}$"));
        Assert.That(_body, Is.EqualTo("""{"statement":"SELECT 1","timeout":3600,"warehouse":"LOADING","parameters":{"TIMEZONE":"UTC","QUERY_TAG":"exporter"}}"""));
    }

    private readonly List<string> _asked = [];
    private List<string> _headers = [];
    private string _body = "";

    [SetUp]
    public void Forget() => _asked.Clear();

    private static SnowflakeOptions Options(Uri host) => new()
    {
        Account = "MYORG-TEST", User = "u", AccessToken = "token", Warehouse = "loading", Database = "d", Host = host.ToString(),
    };

    private Task<SnowflakeResult> AskAsync(params (int Status, string Body)[] answers) => AskAsync(false, answers);

    private async Task<SnowflakeResult> AskAsync(bool several, params (int Status, string Body)[] answers)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using var app = builder.Build();
        app.Run(async http =>
        {
            _asked.Add($"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}");
            if (http.Request.Method == "POST")
            {
                using var reader = new StreamReader(http.Request.Body, Encoding.UTF8);
                _body = await reader.ReadToEndAsync();
                _headers = [.. http.Request.Headers.Select(header => $"{header.Key}: {header.Value}")];
            }

            var (status, body) = answers[_asked.Count - 1];
            http.Response.StatusCode = status;
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync(body);
        });
        await app.StartAsync();
        using var client = new SnowflakeClient(Options(new Uri(app.Urls.Single())), TimeProvider.System, TimeSpan.FromMilliseconds(1));
        return several ? await client.ExecuteAllAsync(["SELECT 1", "SELECT 2"], 1, default) : await client.ExecuteAsync("SELECT 1", default);
    }
}

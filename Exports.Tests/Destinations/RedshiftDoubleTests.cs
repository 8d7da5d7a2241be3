using Exporter.Exports.Tests.Doubles;
using Npgsql;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The double refuses what Redshift's documentation says that it has not, and has what it says that it has.</summary>
public sealed class RedshiftDoubleTests
{
    private RedshiftServer _server = null!;

    [OneTimeSetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [TestCase("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "0A000")]
    [TestCase("INSERT INTO t VALUES (1) RETURNING id", "0A000")]
    [TestCase("COPY t FROM STDIN", "42601")]
    [TestCase("CREATE TABLE t (a JSONB)", "0A000")]
    [TestCase("CREATE TABLE t (a UUID)", "0A000")]
    [TestCase("CREATE TABLE t (a BYTEA)", "0A000")]
    [TestCase("CREATE TABLE t (a INTEGER[])", "0A000")]
    [TestCase("CREATE TABLE t (a VARCHAR(65536))", "22023")]
    [TestCase("CREATE TABLE t (a VARBYTE(16777217))", "22023")]
    [TestCase("CREATE TABLE t (a DECIMAL(38,38))", "22023")]
    [TestCase("CREATE INDEX ON t (a)", "0A000")]
    [TestCase("CREATE SEQUENCE s", "0A000")]
    [TestCase("ALTER TABLE t ADD COLUMN IF NOT EXISTS a INTEGER", "0A000")]
    [TestCase("SELECT ARRAY[1]", "0A000")]
    [TestCase("SELECT DISTINCT ON (a) a FROM t", "0A000")]
    [TestCase("SELECT ROW_NUMBER() OVER (ORDER BY a DESC NULLS LAST) FROM t", "0A000")]
    [TestCase("SELECT pg_advisory_lock(1)", "0A000")]
    [TestCase("SELECT 1 FROM t FOR UPDATE", "0A000")]
    [TestCase("DISCARD ALL", "0A000")]
    [TestCase("COPY t (a) FROM 's3://b/m' IAM_ROLE default MANIFEST FORMAT AS PARQUET MAXERROR 5", "42P01")]
    public async Task What_Redshift_has_not_is_refused(string sql, string code)
    {
        var error = await Assert.CatchAsync<PostgresException>(() => _server.SayAsync(sql));
        Assert.That(error!.SqlState, Is.EqualTo(code), error.MessageText);
    }

    [TestCase("REGION 'eu-central-1'")]
    [TestCase("MAXERROR 5")]
    [TestCase("GZIP")]
    public async Task COPY_of_Parquet_has_few_options(string option)
    {
        await _server.SayAsync("CREATE TABLE IF NOT EXISTS copied (a INTEGER)");
        var error = await Assert.CatchAsync<PostgresException>(() => _server.SayAsync($"COPY copied (a) FROM 's3://b/m' IAM_ROLE default MANIFEST FORMAT AS PARQUET {option}"));
        Assert.That(error!.MessageText, Does.Contain("not supported for PARQUET based COPY"));
    }

    [Test]
    public async Task A_text_counts_bytes_and_without_a_length_has_256()
    {
        await _server.SayAsync("CREATE TABLE counted (a TEXT)");
        await _server.SayAsync("INSERT INTO counted VALUES (REPEAT('x', 256))");
        var error = await Assert.CatchAsync<PostgresException>(() => _server.SayAsync("INSERT INTO counted VALUES (REPEAT('é', 129))"));
        Assert.That(error!.SqlState, Is.EqualTo("22001"));
    }

    [Test]
    public async Task A_transaction_sees_what_was_there_at_its_first_reading_statement_and_a_conflict_is_1023()
    {
        await _server.SayAsync("CREATE TABLE isolated (a INTEGER)");
        await _server.ExecuteAsync("insert into isolated values (1)");
        var parts = new NpgsqlConnectionStringBuilder { Host = "127.0.0.1", Port = _server.Port, Database = _server.Parts.Database, Username = _server.User, Password = _server.Password, SslMode = SslMode.Disable, IncludeErrorDetail = true };
        var builder = new NpgsqlDataSourceBuilder(parts.ConnectionString);
        builder.ConfigureTypeLoading(types => types.EnableTypeLoading(false));
        await using var data = builder.Build();
        await using var first = await data.OpenConnectionAsync();
        await SayAsync("BEGIN");
        await SayAsync("SELECT 1 FROM isolated");
        await _server.SayAsync("UPDATE isolated SET a = 2");
        var error = await Assert.CatchAsync<PostgresException>(() => SayAsync("UPDATE isolated SET a = 3"));
        Assert.That((error!.SqlState, error.MessageText), Is.EqualTo(("XX000", "1023")));
        Assert.That(error.Detail, Does.Contain("Serializable isolation violation"));

        async Task SayAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, first);
            await command.ExecuteNonQueryAsync();
        }
    }
}

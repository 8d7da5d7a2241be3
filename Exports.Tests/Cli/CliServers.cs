using Exporter.Engine.Payloads;
using Exporter.Engine.Tests;
using Npgsql;

namespace Exporter.Exports.Tests.Cli;

/// <summary>
/// What a fixture's commands work with: a database of PostgreSQL whose user has a password that is asked for, a database of
/// ClickHouse, a new encryption key, and a folder.
/// </summary>
internal sealed class CliServers : IAsyncDisposable
{
    private static readonly SemaphoreSlim Rules = new(1);
    private readonly string _admin;
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("exporter-cli-");

    private CliServers(string admin) => _admin = admin;

    public string Folder => _folder.FullName;

    public string Postgres { get; private set; } = "";

    public string PostgresPassword { get; } = "pg+Pass/" + Guid.NewGuid().ToString("N");

    public string ClickHouse { get; private set; } = "";

    public string Database { get; private set; } = "";

    public string Key { get; } = KeyRing.NewKey();

    /// <summary>A folder that exports may go to.</summary>
    public string Root => Directory.CreateDirectory(Path.Combine(Folder, "out")).FullName;

    /// <summary>The program, with these servers as its settings.</summary>
    public ExporterCli Cli => new(Folder, new Dictionary<string, string?>
    {
        ["EXPORTER_POSTGRES"] = Postgres,
        ["EXPORTER_CLICKHOUSE"] = ClickHouse,
        ["EXPORTER_ENCRYPTION_KEY"] = Key,
    });

    public static async Task<CliServers> StartAsync(int rows)
    {
        var servers = new CliServers(await TestServers.NewPostgresAsync());
        var clickHouse = await TestServers.ClickHouseAsync();
        servers.Database = "cli" + Guid.NewGuid().ToString("N");
        servers.ClickHouse = await clickHouse.CreateDatabaseAsync(servers.Database);
        await servers.DemandPasswordAsync();

        // Four hours of a day that has passed; half a second between rows at the most.
        await clickHouse.ExecuteAsync($"CREATE TABLE {servers.Database}.events (id UInt64, at DateTime64(3, 'UTC'), text String) ENGINE = MergeTree ORDER BY at");
        await clickHouse.ExecuteAsync(
            $"INSERT INTO {servers.Database}.events SELECT number, toDateTime64('2026-03-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(intDiv(number * 14400000, {rows})), "
            + $"concat('event ', toString(number)) FROM numbers({rows})");
        return servers;
    }

    /// <summary>Rows of a query on the database, each as text.</summary>
    public async Task<IReadOnlyList<string>> AskAsync(string sql)
    {
        await using var data = NpgsqlDataSource.Create(_admin);
        await using var command = data.CreateCommand(sql);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync())
        {
            rows.Add(await reader.IsDBNullAsync(0) ? "" : Convert.ToString(reader.GetValue(0), System.Globalization.CultureInfo.InvariantCulture)!);
        }

        return rows;
    }

    /// <summary>Starts <c>exporter worker</c>; it is alive when this returns.</summary>
    public Task<CliProcess> StartWorkerAsync(params string[] arguments) => StartWorkerAsync(new CliCall(), arguments);

    /// <summary>The same, with more variables.</summary>
    public async Task<CliProcess> StartWorkerAsync(CliCall call, params string[] arguments)
    {
        var worker = Cli.Start(call, ["worker", "--name", "w1", "--grace", "1s", .. arguments]);
        try
        {
            await Eventually.TrueAsync(
                async () => worker.HasExited || await AskAsync("select 1 from engine.workers where name = 'w1'") is { Count: > 0 }, "the worker is known");
            Assert.That(worker.HasExited, Is.False, worker.Log);
            return worker;
        }
        catch
        {
            await worker.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync()
    {
        _folder.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    // The tests' server trusts everybody on this machine; this one user has to say a password. The rules are one file, which is read and written.
    private async Task DemandPasswordAsync()
    {
        await Rules.WaitAsync();
        try
        {
            await AddRuleAsync();
        }
        finally
        {
            Rules.Release();
        }

        await Eventually.TrueAsync(
            async () => await RefusedAsync(new NpgsqlConnectionStringBuilder(Postgres) { Password = "wrong" }.ConnectionString), "the password is asked for");
    }

    private async Task AddRuleAsync()
    {
        var admin = new NpgsqlConnectionStringBuilder(_admin);
        var user = "u" + Guid.NewGuid().ToString("N");
        await AskAsync($"create role {user} login password '{PostgresPassword}'; alter database {admin.Database} owner to {user}");
        var rules = (await AskAsync(
            $"select lo_from_bytea(0, convert_to(E'host all {user} all scram-sha-256\\n' || pg_read_file(current_setting('hba_file')), 'UTF8'))"))[0];
        await AskAsync($"select lo_export({rules}, current_setting('hba_file'))");
        await AskAsync("select pg_reload_conf()");
        Postgres = new NpgsqlConnectionStringBuilder(_admin) { Username = user, Password = PostgresPassword, Pooling = false }.ConnectionString;
    }

    private static async Task<bool> RefusedAsync(string connection)
    {
        try
        {
            await using var data = NpgsqlDataSource.Create(connection);
            await using var open = await data.OpenConnectionAsync();
            return false;
        }
        catch (PostgresException)
        {
            return true;
        }
    }
}

using System.Globalization;
using Dapper;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>A private PostgreSQL with the durability of its defaults, whose processor time, log and commits are counted.</summary>
internal sealed class BenchServer : IAsyncDisposable
{
    private readonly LocalPostgres _server;
    private readonly NpgsqlDataSource _admin;

    private BenchServer(LocalPostgres server)
    {
        _server = server;
        _admin = NpgsqlDataSource.Create(server.ConnectionString);
    }

    public static async Task<BenchServer> StartAsync() => new(await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true }));

    /// <summary>A database for somebody else's schema.</summary>
    public Task<string> CreateEmptyAsync() => _server.CreateDatabaseAsync();

    /// <summary>A database with the engine's schema and nothing in it.</summary>
    public async Task<NpgsqlDataSource> CreateAsync()
    {
        var connection = await CreateEmptyAsync();
        await EngineSchema.MigrateAsync(connection);
        return NpgsqlDataSource.Create(connection);
    }

    /// <summary>Removes a database, and lets the server write out what it has to before the next measurement.</summary>
    public async Task DropAsync(NpgsqlDataSource data)
    {
        await data.DisposeAsync();
        await DropAsync(data.ConnectionString);
    }

    /// <summary>The same of one by its connection string.</summary>
    public async Task DropAsync(string connectionString)
    {
        var name = new NpgsqlConnectionStringBuilder(connectionString).Database!;
        await LocalPostgres.DropDatabaseAsync(_server.ConnectionString, name);
        await CheckpointAsync();
    }

    /// <summary>So that what one work has left to be written does not fall into the time of the next.</summary>
    public async Task CheckpointAsync()
    {
        await using var connection = await _admin.OpenConnectionAsync();
        await connection.ExecuteAsync("checkpoint", commandType: System.Data.CommandType.Text);
    }

    public async Task<ServerUse> UseAsync()
    {
        await using var connection = await _admin.OpenConnectionAsync();
        var (wal, commits, pid) = await connection.QuerySingleAsync<(decimal, decimal, int)>(
            "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, (select sum(xact_commit) from pg_stat_database), pg_backend_pid()");
        return new ServerUse(ServerCpu.Of(pid), (double)wal, (double)commits);
    }

    public async ValueTask DisposeAsync()
    {
        await _admin.DisposeAsync();
        await _server.DisposeAsync();
    }
}

/// <summary>What a server has used since it was started.</summary>
internal readonly record struct ServerUse(double CpuSeconds, double WalBytes, double Commits)
{
    public static ServerUse operator -(ServerUse later, ServerUse earlier) =>
        new(later.CpuSeconds - earlier.CpuSeconds, later.WalBytes - earlier.WalBytes, later.Commits - earlier.Commits);
}

/// <summary>The processor time of a server's processes, those that have ended included.</summary>
internal static class ServerCpu
{
    private const double TicksPerSecond = 100;

    public static double Of(int backend)
    {
        var server = Stat(backend)!.Value.Parent;
        var children = Directory.GetDirectories("/proc").Select(path => int.TryParse(Path.GetFileName(path), CultureInfo.InvariantCulture, out var pid) ? Stat(pid) : null)
            .Where(stat => stat?.Parent == server).Sum(stat => stat!.Value.Own);
        var own = Stat(server)!.Value;
        return (children + own.Own + own.Ended) / TicksPerSecond;
    }

    private static (int Parent, double Own, double Ended)? Stat(int pid)
    {
        try
        {
            var text = File.ReadAllText($"/proc/{pid}/stat");
            var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            double Number(int field) => double.Parse(fields[field], CultureInfo.InvariantCulture);
            return ((int)Number(1), Number(11) + Number(12), Number(13) + Number(14));
        }
        catch (IOException)
        {
            return null;
        }
    }
}

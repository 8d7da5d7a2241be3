using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests.Pooler;

/// <summary>A PgBouncer of its own in front of a server, in transaction mode; it ends with this process.</summary>
internal sealed class PgBouncer : IAsyncDisposable
{
    private readonly string _directory;
    private readonly string _server;
    private readonly int _port;
    private Process? _guard;

    private PgBouncer(string directory, string server, int port) => (_directory, _server, _port) = (directory, server, port);

    private string LogFile => Path.Combine(_directory, "log");

    /// <summary>Starts it with as many connections to each database of the server.</summary>
    public static async Task<PgBouncer> StartAsync(string server, int poolSize)
    {
        var pooler = new PgBouncer(Directory.CreateTempSubdirectory("exporter-pgbouncer-").FullName, server, FreePort());
        var to = new NpgsqlConnectionStringBuilder(server);
        await File.WriteAllTextAsync(
            Path.Combine(pooler._directory, "pgbouncer.ini"),
            $"""
            [databases]
            * = host={to.Host} port={to.Port} user={to.Username}{(string.IsNullOrEmpty(to.Password) ? "" : $" password='{to.Password}'")}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {pooler._port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {poolSize}
            max_client_conn = 200
            server_login_retry = 1

            """);
        await pooler.StartAsync();
        return pooler;
    }

    /// <summary>The same database, through the pooler.</summary>
    public string Through(string connectionString) =>
        new NpgsqlConnectionStringBuilder(connectionString) { Host = "127.0.0.1", Port = _port }.ConnectionString;

    /// <summary>What it has logged.</summary>
    public Task<string> LogAsync() => File.ReadAllTextAsync(LogFile);

    /// <summary>Ends it, with all its connections, and starts it again.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task StartAsync()
    {
        var fetched = ToolFolder.Candidates("pgbouncer").FirstOrDefault(folder => File.Exists(Path.Combine(folder, "usr/sbin/pgbouncer")));
        var program = fetched is null ? "/usr/sbin/pgbouncer" : Path.Combine(fetched, "usr/sbin/pgbouncer");
        Assert.That(program, Does.Exist, "PgBouncer is not there: run `.ci/install-tools --s3`, or install the package pgbouncer.");

        // The shell waits for its input to end, which it does with this process. PgBouncer refuses root, which lends it another user.
        const string Guard = """
            "$@" >>"$DIR/log" 2>&1 </dev/null & server=$!
            while read -r line; do :; done
            kill -KILL $server 2>/dev/null; wait $server
            """;
        string[] asUser = Environment.IsPrivilegedProcess ? ["-u", "nobody"] : [];
        var start = new ProcessStartInfo("/bin/sh", ["-c", Guard, "guard", program, .. asUser, Path.Combine(_directory, "pgbouncer.ini")])
        {
            RedirectStandardInput = true, WorkingDirectory = "/", Environment = { ["DIR"] = _directory },
        };
        if (fetched is not null)
        {
            start.Environment["LD_LIBRARY_PATH"] = string.Join(':', Directory.GetDirectories(Path.Combine(fetched, "usr/lib")));
        }

        _guard = Process.Start(start)!;
        await Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Through(_server)) { Pooling = false }.ConnectionString);
                    await connection.OpenAsync();
                    return true;
                }
                catch (NpgsqlException) when (!_guard.HasExited)
                {
                    return false;
                }
            },
            "PgBouncer answers");
    }

    private async Task StopAsync()
    {
        if (_guard is { } guard)
        {
            _guard = null;
            guard.StandardInput.Close();
            await guard.WaitForExitAsync();
            guard.Dispose();
        }
    }
}

using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace Exporter.Engine.Testing;

/// <summary>How a private PostgreSQL server is started.</summary>
public sealed record LocalPostgresOptions
{
    /// <summary>Whether commits survive a crash of the machine: needed where durability or speed is tested. Default false.</summary>
    public bool Durable { get; init; }

    /// <summary>Where its files are; made if missing, and then kept. Default a temporary folder, removed at the end.</summary>
    public string? Directory { get; init; }

    /// <summary>The port. Default a free one.</summary>
    public int Port { get; init; }
}

/// <summary>
/// A PostgreSQL server of its own, from the machine's binaries, for tests and trying things. It ends with this process, even
/// when that is killed.
/// </summary>
public sealed class LocalPostgres : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private readonly string _binaries;
    private readonly string _directory;
    private readonly bool _keep;
    private readonly bool _durable;
    private Process? _guard;

    private LocalPostgres(string binaries, string directory, bool keep, bool durable, int port)
    {
        _binaries = binaries;
        _directory = directory;
        _keep = keep;
        _durable = durable;
        Port = port;
    }

    /// <summary>The port it listens on, at 127.0.0.1.</summary>
    public int Port { get; }

    /// <summary>The database <c>postgres</c>, as its superuser.</summary>
    public string ConnectionString => Of("postgres");

    private string Data => Path.Combine(_directory, "data");

    /// <summary>Starts a server.</summary>
    /// <exception cref="FileNotFoundException">No server binaries were found; the message says where to get them.</exception>
    /// <exception cref="InvalidOperationException">The server does not start; the message has its log.</exception>
    public static async Task<LocalPostgres> StartAsync(LocalPostgresOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new LocalPostgresOptions();
        var directory = options.Directory ?? System.IO.Directory.CreateTempSubdirectory("exporter-pg-").FullName;
        System.IO.Directory.CreateDirectory(directory);
        var server = new LocalPostgres(
            FindBinaries(), Path.GetFullPath(directory), options.Directory is not null, options.Durable, options.Port == 0 ? FreePort() : options.Port);
        try
        {
            if (!File.Exists(Path.Combine(server.Data, "PG_VERSION")))
            {
                await server.InitialiseAsync(cancellationToken).ConfigureAwait(false);
            }

            await server.StartAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes a database and answers its connection string.</summary>
    /// <param name="name">Letters, digits and underscores. Default a new name.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<string> CreateDatabaseAsync(string? name = null, CancellationToken cancellationToken = default) =>
        CreateDatabaseAsync(ConnectionString, name, null, cancellationToken);

    /// <summary>Makes a database on any server and answers its connection string.</summary>
    /// <param name="server">The server, as a user who may create databases.</param>
    /// <param name="name">Letters, digits and underscores. Default a new name.</param>
    /// <param name="template">A database to be copied, to which nobody is connected. Default an empty one.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public static async Task<string> CreateDatabaseAsync(
        string server, string? name = null, string? template = null, CancellationToken cancellationToken = default)
    {
        name ??= "t" + Guid.NewGuid().ToString("N");
        await ExecuteAsync(server, $"create database {Quoted(name)}{(template is null ? "" : $" template {Quoted(template)}")}", cancellationToken).ConfigureAwait(false);
        return new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString;
    }

    /// <summary>Drops a database of any server, and ends whatever is connected to it.</summary>
    public static Task DropDatabaseAsync(string server, string name, CancellationToken cancellationToken = default) =>
        ExecuteAsync(server, $"drop database if exists {Quoted(name)} with (force)", cancellationToken);

    /// <summary>Stops the server at once, as a crash would (<c>immediate</c>), and starts it again on the same files and port.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken = default)
    {
        await StopAsync().ConfigureAwait(false);
        await StartAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops the server at once. Its files stay.</summary>
    public async Task StopAsync()
    {
        if (_guard is { } guard)
        {
            _guard = null;
            guard.StandardInput.Close();
            await guard.WaitForExitAsync().ConfigureAwait(false);
            guard.Dispose();
        }
    }

    /// <summary>Ends the server and removes what it made.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        if (!_keep && System.IO.Directory.Exists(_directory))
        {
            System.IO.Directory.Delete(_directory, recursive: true);
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string FindBinaries()
    {
        var debian = System.IO.Directory.Exists("/usr/lib/postgresql")
            ? System.IO.Directory.GetDirectories("/usr/lib/postgresql").OrderDescending(StringComparer.Ordinal).Select(version => Path.Combine(version, "bin"))
            : [];
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries);
        return debian.Concat(ToolFolder.Candidates("postgresql/bin")).Concat(path).FirstOrDefault(folder => File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "postgres")))
            ?? throw new FileNotFoundException(
                "PostgreSQL's server binaries were not found. Run `make tools`, or install the package postgresql.");
    }

    // initdb and postgres refuse root, which then lends them another user.
    private static string[] AsUser() => !Environment.IsPrivilegedProcess ? [] : ["setpriv", "--reuid", User(), "--regid", User(), "--clear-groups"];

    private static string User() => File.ReadLines("/etc/passwd").Any(line => line.StartsWith("postgres:", StringComparison.Ordinal)) ? "postgres" : "nobody";

    private static string Group() => User() == "postgres" ? "postgres" : "nogroup";

    private string Of(string database) => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1", Port = Port, Username = "postgres", Database = database, IncludeErrorDetail = true,
    }.ConnectionString;

    private async Task InitialiseAsync(CancellationToken cancellationToken)
    {
        if (Environment.IsPrivilegedProcess)
        {
            await RunAsync(["chown", $"{User()}:{Group()}", _directory], cancellationToken).ConfigureAwait(false);
        }

        await RunAsync(
            [.. AsUser(), Path.Combine(_binaries, "initdb"), "-D", Data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C", .. _durable ? Array.Empty<string>() : ["--no-sync"]],
            cancellationToken).ConfigureAwait(false);
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        // The shell waits for its input to end, which it does with this process, and then stops the server.
        const string Guard = """
            "$@" >"$DIR/log" 2>&1 </dev/null & server=$!
            while read -r line; do :; done
            kill -QUIT $server 2>/dev/null; wait $server
            """;
        var start = new ProcessStartInfo { RedirectStandardInput = true, WorkingDirectory = "/", Environment = { ["DIR"] = _directory } };
        string[] command =
        [
            .. AsUser(), "/bin/sh", "-c", Guard, "guard", Path.Combine(_binaries, "postgres"), "-D", Data, "-k", _directory,
            "-p", Port.ToString(CultureInfo.InvariantCulture), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
            .. _durable ? Array.Empty<string>() : ["-c", "fsync=off", "-c", "full_page_writes=off"],
        ];
        start.FileName = command[0];
        Array.ForEach(command[1..], start.ArgumentList.Add);
        _guard = Process.Start(start)!;
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false }.ConnectionString);
                await using var closing = connection.ConfigureAwait(false);
                await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (NpgsqlException) when (clock.Elapsed < StartLimit && !_guard.HasExited)
            {
                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
            catch (NpgsqlException error)
            {
                throw new InvalidOperationException(
                    $"PostgreSQL does not start in {_directory}: {await File.ReadAllTextAsync(Path.Combine(_directory, "log"), cancellationToken).ConfigureAwait(false)}", error);
            }
        }
    }

    private static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private static async Task ExecuteAsync(string server, string sql, CancellationToken cancellationToken)
    {
        // Not pooled: who is still connected would be in the way of a copy.
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(server) { Pooling = false }.ConnectionString);
        await using var closing = connection.ConfigureAwait(false);
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        var command = new NpgsqlCommand(sql, connection);
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task RunAsync(string[] command, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        try
        {
            using var process = Process.Start(start)!;
            var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            var error = process.StandardError.ReadToEndAsync(cancellationToken);
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            if (process.ExitCode != 0)
            {
                throw new InvalidOperationException(
                    $"{string.Join(' ', command)} ended with {process.ExitCode}: {await output.ConfigureAwait(false)}{await error.ConfigureAwait(false)}");
            }
        }
        catch (Win32Exception error)
        {
            throw new InvalidOperationException($"{command[0]} cannot be run: {error.Message}", error);
        }
    }
}

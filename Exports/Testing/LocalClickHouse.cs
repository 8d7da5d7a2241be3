using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Exporter.Engine.Testing;

namespace Exporter.Exports.Testing;

/// <summary>How a private ClickHouse server is started.</summary>
public sealed record LocalClickHouseOptions
{
    /// <summary>Where its files are; made if missing, and then kept. Default a temporary folder, removed at the end.</summary>
    public string? Directory { get; init; }

    /// <summary>The HTTP port. Default a free one.</summary>
    public int HttpPort { get; init; }

    /// <summary>Settings of the profile of the user <c>limited</c>, such as max_memory_usage. Default none.</summary>
    public IReadOnlyDictionary<string, string> Limits { get; init; } = new Dictionary<string, string>();
}

/// <summary>
/// A ClickHouse server of its own for tests and trying things, from the library that <c>make tools</c> fetches, in a child
/// process that ends with this one, even when that is killed.
/// </summary>
public sealed class LocalClickHouse : IAsyncDisposable
{
    /// <summary>The user who may do everything.</summary>
    public const string User = "exporter";

    /// <summary>The password of <see cref="User"/>; the server only listens to this machine.</summary>
    public const string Password = "clickhouse-test-password";

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private readonly string _directory;
    private readonly bool _keep;
    private readonly int _tcpPort;
    private readonly string _limits;
    private readonly HttpClient _http;
    private readonly StringBuilder _output = new();
    private Process? _process;

    private LocalClickHouse(string directory, bool keep, int httpPort, IReadOnlyDictionary<string, string> limits)
    {
        _limits = string.Concat(limits.Select(limit => $"<{limit.Key}>{limit.Value}</{limit.Key}>"));
        _directory = directory;
        _keep = keep;
        HttpPort = httpPort;
        _tcpPort = FreePort();
        _http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{httpPort}/"), Timeout = TimeSpan.FromMinutes(5) };
        _http.DefaultRequestHeaders.Add("X-ClickHouse-User", User);
        _http.DefaultRequestHeaders.Add("X-ClickHouse-Key", Password);
    }

    /// <summary>The port of its HTTP interface, at 127.0.0.1.</summary>
    public int HttpPort { get; }

    /// <summary>The server's process, while it runs.</summary>
    internal int ProcessId => _process?.Id ?? throw new InvalidOperationException("The server does not run.");

    /// <summary>As ClickHouse.Driver takes it, for the database <c>default</c>.</summary>
    public string ConnectionString => Of("default");

    /// <summary>Starts a server.</summary>
    /// <exception cref="FileNotFoundException">The library was not found; the message says where to get it.</exception>
    /// <exception cref="InvalidOperationException">The server does not start; the message has what it printed.</exception>
    public static async Task<LocalClickHouse> StartAsync(LocalClickHouseOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new LocalClickHouseOptions();
        var directory = options.Directory ?? System.IO.Directory.CreateTempSubdirectory("exporter-ch-").FullName;
        System.IO.Directory.CreateDirectory(directory);
        var server = new LocalClickHouse(Path.GetFullPath(directory), options.Directory is not null, options.HttpPort == 0 ? FreePort() : options.HttpPort, options.Limits);
        try
        {
            await server.StartAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The connection string for a database.</summary>
    public string Of(string database) => Of(database, User);

    /// <summary>The connection string for a database and a user: <see cref="User"/>, reader or limited.</summary>
    public string Of(string database, string user) => string.Create(
        CultureInfo.InvariantCulture, $"Host=127.0.0.1;Port={HttpPort};Username={user};Password={Password};Database={database}");

    /// <summary>Makes a database and answers its connection string.</summary>
    public async Task<string> CreateDatabaseAsync(string? name = null, CancellationToken cancellationToken = default)
    {
        name ??= "t" + Guid.NewGuid().ToString("N");
        await ExecuteAsync($"CREATE DATABASE {name}", cancellationToken).ConfigureAwait(false);
        return Of(name);
    }

    /// <summary>Executes a statement and answers what it prints, as tab-separated text.</summary>
    /// <exception cref="InvalidOperationException">The server refused it; the message is the server's.</exception>
    public async Task<string> ExecuteAsync(string sql, CancellationToken cancellationToken = default)
    {
        using var content = new StringContent(sql);
        using var response = await _http.PostAsync(new Uri("", UriKind.Relative), content, cancellationToken).ConfigureAwait(false);
        var text = await response.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false);
        return response.IsSuccessStatusCode ? text.TrimEnd('\n') : throw new InvalidOperationException(text);
    }

    /// <summary>Ends the server with SIGKILL; its data stay.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process)
        {
            _process = null;
            process.Kill();
            await process.WaitForExitAsync().ConfigureAwait(false);
            process.Dispose();
        }
    }

    /// <summary>Starts the server again after <see cref="KillAsync"/>, on the same files and port.</summary>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        var library = ToolFolder.Candidates("clickhouse/libchdb.so").FirstOrDefault(File.Exists) ?? throw new FileNotFoundException(
            "ClickHouse's library was not found. Run `make tools`, or set EXPORTER_TOOLS to a folder that has clickhouse/libchdb.so.");
        await WriteConfigurationAsync(cancellationToken).ConfigureAwait(false);
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        foreach (var argument in (string[])
        [
            "exec", typeof(LocalClickHouse).Assembly.Location, ClickHouseHost.Command, library, _directory,
            HttpPort.ToString(CultureInfo.InvariantCulture), _tcpPort.ToString(CultureInfo.InvariantCulture),
        ])
        {
            start.ArgumentList.Add(argument);
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        var clock = Stopwatch.StartNew();
        while (!await AnswersAsync(cancellationToken).ConfigureAwait(false))
        {
            if (process.HasExited || clock.Elapsed > StartLimit)
            {
                throw new InvalidOperationException($"ClickHouse does not start in {_directory}: {Output()}");
            }

            await Task.Delay(50, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Ends the server and removes what it made.</summary>
    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        _http.Dispose();
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

    // The ping does not say whose server answers; a query with this server's password does.
    private async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await ExecuteAsync("SELECT 1", cancellationToken).ConfigureAwait(false) == "1";
        }
        catch (Exception error) when (error is HttpRequestException or InvalidOperationException)
        {
            return false;
        }
    }

    private async Task WriteConfigurationAsync(CancellationToken cancellationToken)
    {
        await File.WriteAllTextAsync(
            Path.Combine(_directory, "config.xml"),
            $"""
            <clickhouse>
              <logger><level>warning</level><log>{_directory}/server.log</log><errorlog>{_directory}/errors.log</errorlog></logger>
              <user_directories><users_xml><path>{_directory}/users.xml</path></users_xml></user_directories>
              <users_config>{_directory}/users.xml</users_config>
              <default_profile>default</default_profile>
              <default_database>default</default_database>
              <timezone>UTC</timezone>
              <user_files_path>/</user_files_path>
              <query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>500</flush_interval_milliseconds></query_log>
            </clickhouse>
            """,
            cancellationToken).ConfigureAwait(false);
        await File.WriteAllTextAsync(
            Path.Combine(_directory, "users.xml"),
            $"""
            <clickhouse>
              <profiles><default></default><readonly><readonly>2</readonly></readonly><limited>{_limits}</limited></profiles>
              <quotas><default></default></quotas>
              <users>
                <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
                <{User}><password>{Password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></{User}>
                <reader><password>{Password}</password><networks><ip>127.0.0.1</ip></networks><profile>readonly</profile><quota>default</quota></reader>
                <limited><password>{Password}</password><networks><ip>127.0.0.1</ip></networks><profile>limited</profile><quota>default</quota></limited>
              </users>
            </clickhouse>
            """,
            cancellationToken).ConfigureAwait(false);
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_output)
        {
            _output.AppendLine(line.Data);
        }
    }

    private string Output()
    {
        lock (_output)
        {
            return _output.ToString();
        }
    }
}

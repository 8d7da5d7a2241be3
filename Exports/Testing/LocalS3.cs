using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Amazon.Runtime;
using Amazon.S3;

namespace Exporter.Exports.Testing;

/// <summary>
/// An S3 server of its own for tests and trying things: Ceph's object gateway from the machine's packages, with its data in
/// memory (1 to 2.5 GB). It ends with this process, even when that is killed. With the environment variable
/// <c>EXPORTER_S3=http://key:secret@host:port</c> it is that server instead, and is not started or ended.
/// </summary>
public sealed class LocalS3 : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly string[] Programs = ["ceph", "ceph-authtool", "monmaptool", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin"];
    private readonly string? _directory;
    private readonly string _path = Environment.GetEnvironmentVariable("PATH") ?? "";
    private GuardedProcess? _cluster;
    private GuardedProcess? _gateway;

    private LocalS3(Uri endpoint, string accessKey, string secretKey, string? directory, string? programs = null)
    {
        _path = programs is null ? _path : $"{programs}:{_path}";
        Endpoint = endpoint;
        AccessKey = accessKey;
        SecretKey = secretKey;
        _directory = directory;
    }

    /// <summary>Where it listens; buckets are the first part of the path.</summary>
    public Uri Endpoint { get; }

    /// <summary>The access key of the user who may do everything.</summary>
    public string AccessKey { get; }

    /// <summary>The secret key of that user.</summary>
    public string SecretKey { get; }

    /// <summary>Starts a server; it answers after about 5 s.</summary>
    /// <exception cref="FileNotFoundException">A program is missing; the message says where to get it.</exception>
    /// <exception cref="InvalidOperationException">The server does not start; the message has its log.</exception>
    public static async Task<LocalS3> StartAsync(CancellationToken cancellationToken = default)
    {
        if (Environment.GetEnvironmentVariable("EXPORTER_S3") is { Length: > 0 } existing)
        {
            var uri = new Uri(existing);
            var user = uri.UserInfo.Split(':').Select(Uri.UnescapeDataString).ToArray();
            return user.Length == 2
                ? new LocalS3(new UriBuilder(uri) { UserName = "", Password = "" }.Uri, user[0], user[1], directory: null)
                : throw new InvalidOperationException("EXPORTER_S3 must be http://key:secret@host:port.");
        }

        return await StartAsync(programs: null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Starts a server of the programs in a folder; null: the machine's.</summary>
    internal static async Task<LocalS3> StartAsync(string? programs, CancellationToken cancellationToken = default)
    {
        var directory = Directory.CreateTempSubdirectory("exporter-s3-").FullName;
        var server = new LocalS3(
            new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{FreePort()}/")), "testkey", "testsecret", directory, programs);
        try
        {
            server.CheckPrograms();
            await server.StartClusterAsync(directory, cancellationToken).ConfigureAwait(false);
            await server.StartGatewayAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes a bucket and answers its name.</summary>
    /// <param name="name">Lower-case letters, digits and dashes. Default a new name.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public async Task<string> CreateBucketAsync(string? name = null, CancellationToken cancellationToken = default)
    {
        name ??= "b" + Guid.NewGuid().ToString("N");
        using var client = CreateClient();
        await client.PutBucketAsync(name, cancellationToken).ConfigureAwait(false);
        return name;
    }

    /// <summary>Ends the gateway with SIGKILL, as a crash would; the data stay.</summary>
    public async Task KillGatewayAsync()
    {
        ThrowIfExisting();
        if (_gateway is { } gateway)
        {
            _gateway = null;
            await gateway.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Starts the gateway again, on the same port; it answers when this returns, after about 1 s.</summary>
    public async Task StartGatewayAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfExisting();
        _gateway ??= GuardedProcess.Start(CephConfiguration.StartGateway, new Dictionary<string, string> { ["DIR"] = _directory!, ["PATH"] = _path });
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync(Endpoint, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (Exception error) when (error is HttpRequestException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
            {
                if (clock.Elapsed > StartLimit)
                {
                    throw new InvalidOperationException($"Ceph's gateway does not answer: {Log()}", error);
                }

                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Ends the server and removes what it made.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var process in new[] { _gateway, _cluster }.OfType<GuardedProcess>())
        {
            await process.DisposeAsync().ConfigureAwait(false);
        }

        _gateway = null;
        _cluster = null;
        if (_directory is not null && Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    internal AmazonS3Client CreateClient() => new(
        new BasicAWSCredentials(AccessKey, SecretKey),
        new AmazonS3Config
        {
            ServiceURL = Endpoint.ToString(),
            ForcePathStyle = true,
            AuthenticationRegion = "us-east-1",

            // Ceph 16, Debian's, refuses the checksum trailer that the client adds otherwise.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        });

    private void CheckPrograms()
    {
        var folders = _path.Split(':', StringSplitOptions.RemoveEmptyEntries);
        if (Programs.FirstOrDefault(program => !folders.Any(folder => File.Exists(Path.Combine(folder, program)))) is { } missing)
        {
            throw new FileNotFoundException(
                $"The program {missing} was not found. Install Debian's packages ceph-mon, ceph-osd, radosgw and ceph-common, or set EXPORTER_S3.");
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task StartClusterAsync(string directory, CancellationToken cancellationToken)
    {
        foreach (var name in (string[])["mon", "osd0", "rgw", "run", "log", "crash"])
        {
            Directory.CreateDirectory(Path.Combine(directory, name));
        }

        var cluster = Guid.NewGuid().ToString();
        var (mon1, mon2) = (FreePort(), FreePort());

        // The store looks for free ports itself, from here; below those that the kernel gives to clients.
        var configuration = CephConfiguration.Write(directory, cluster, Endpoint.Port, mon1, mon2, Random.Shared.Next(20_000, 32_000));
        await File.WriteAllTextAsync(Path.Combine(directory, "ceph.conf"), configuration, cancellationToken).ConfigureAwait(false);
        _cluster = GuardedProcess.Start(CephConfiguration.StartCluster, new Dictionary<string, string>
        {
            ["DIR"] = directory,
            ["PATH"] = _path,
            ["FSID"] = cluster,
            ["MON1"] = mon1.ToString(CultureInfo.InvariantCulture),
            ["MON2"] = mon2.ToString(CultureInfo.InvariantCulture),
            ["ACCESS"] = AccessKey,
            ["SECRET"] = SecretKey,
        });
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        if (await _cluster.ReadLineAsync(limit.Token).ConfigureAwait(false) != "ready")
        {
            throw new InvalidOperationException($"Ceph does not start in {directory}: {Log()}");
        }
    }

    private string Log() => string.Join('\n', Directory.GetFiles(Path.Combine(_directory!, "log"), "*.out").Select(File.ReadAllText));

    private void ThrowIfExisting()
    {
        if (_directory is null)
        {
            throw new InvalidOperationException("EXPORTER_S3 points at a server that was not started here.");
        }
    }
}

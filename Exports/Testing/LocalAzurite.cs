using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Azure.Core.Pipeline;
using Azure.Storage;
using Azure.Storage.Blobs;
using Exporter.Engine.Testing;

namespace Exporter.Exports.Testing;

/// <summary>
/// An Azure Blob Storage of its own for tests and trying things: Microsoft's emulator Azurite, with its data in memory. It ends with
/// this process, even when that is killed.
/// </summary>
public sealed class LocalAzurite : IAsyncDisposable
{
    private const string Program = "azurite/node_modules/azurite/dist/src/blob/main.js";
    private const string Node = "node/bin/node";

    // Its input ends with the process that started it.
    private const string Guard = """
        cd "$DIR"
        "$NODE" "$PROGRAM" --blobHost 127.0.0.1 --blobPort "$PORT" --inMemoryPersistence --silent --skipApiVersionCheck --disableTelemetry $SECURITY >"$DIR/log" 2>&1 &
        server=$!
        while read -r line; do :; done
        kill -9 $server 2>/dev/null
        wait $server 2>/dev/null
        """;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private readonly string _directory = Directory.CreateTempSubdirectory("exporter-azurite-").FullName;
    private GuardedProcess? _process;

    private LocalAzurite(string scheme) => Endpoint = new Uri(string.Create(CultureInfo.InvariantCulture, $"{scheme}://127.0.0.1:{FreePort()}/{Account}"));

    /// <summary>The account.</summary>
    public static string Account => "exportertest";

    /// <summary>The account's key.</summary>
    public static string AccountKey { get; } = Convert.ToBase64String("a key that only protects tests, as long as real ones: 64 bytes.."u8);

    /// <summary>Where it listens; containers are the first part behind it.</summary>
    public Uri Endpoint { get; }

    /// <summary>Starts a server.</summary>
    /// <exception cref="FileNotFoundException">It was not found; the message says where to get it.</exception>
    /// <exception cref="InvalidOperationException">It does not start; the message has its log.</exception>
    public static Task<LocalAzurite> StartAsync(CancellationToken cancellationToken = default) => StartAsync("http", "", cancellationToken);

    /// <summary>The same with TLS, which also takes the tokens of identities; whose they are it does not ask.</summary>
    /// <param name="certificate">A PEM file.</param>
    /// <param name="key">The certificate's key, a PEM file too.</param>
    /// <param name="cancellationToken">Gives up.</param>
    internal static Task<LocalAzurite> StartSecureAsync(string certificate, string key, CancellationToken cancellationToken = default) =>
        StartAsync("https", $"--oauth basic --cert {certificate} --key {key}", cancellationToken);

    private static async Task<LocalAzurite> StartAsync(string scheme, string security, CancellationToken cancellationToken)
    {
        var (program, node) = (ToolFolder.Candidates(Program).FirstOrDefault(File.Exists), ToolFolder.Candidates(Node).FirstOrDefault(File.Exists));
        if (program is null || node is null)
        {
            throw new FileNotFoundException("Azurite was not found. Run `.ci/install-tools --s3`, which fetches it with the Node that it runs on.");
        }

        var server = new LocalAzurite(scheme);
        try
        {
            server._process = GuardedProcess.Start(Guard, new Dictionary<string, string>
            {
                ["NODE"] = Path.GetFullPath(node),
                ["PROGRAM"] = Path.GetFullPath(program),
                ["PORT"] = server.Endpoint.Port.ToString(CultureInfo.InvariantCulture),
                ["DIR"] = server._directory,
                ["SECURITY"] = security,
                ["AZURITE_ACCOUNTS"] = $"{Account}:{AccountKey}",
            });
            await server.AnswersAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes a container and answers its name.</summary>
    public async Task<string> CreateContainerAsync(CancellationToken cancellationToken = default)
    {
        var name = "c" + Guid.NewGuid().ToString("N");
        await Client().CreateBlobContainerAsync(name, cancellationToken: cancellationToken).ConfigureAwait(false);
        return name;
    }

    /// <summary>Ends the server and removes what it made.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_process is { } process)
        {
            _process = null;
            await process.DisposeAsync().ConfigureAwait(false);
        }

        if (Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    internal BlobServiceClient Client(HttpPipelineTransport? transport = null) =>
        new(Endpoint, new StorageSharedKeyCredential(Account, AccountKey), new BlobClientOptions { Transport = transport ?? HttpClientTransport.Shared });

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task AnswersAsync(CancellationToken cancellationToken)
    {
        // Whether it answers, not whether it can be trusted.
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator };
        using var http = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(10) };
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
                    var log = await File.ReadAllTextAsync(Path.Combine(_directory, "log"), cancellationToken).ConfigureAwait(false);
                    throw new InvalidOperationException($"Azurite does not answer: {log}", error);
                }

                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Compatibility;

/// <summary>
/// OpenStack Swift with its S3 interface: a proxy and one server each for accounts, containers and objects, on private ports and in a
/// temporary folder, from Debian's packages as <c>.ci/install-tools --s3-compat</c> unpacks them. Ends with this process.
/// </summary>
internal sealed class LocalSwift : IAsyncDisposable
{
    public const string AccessKey = "test:tester";
    public const string SecretKey = "testing";

    // On a busy machine a server that is slow is not given up: then the proxy would answer 503. Its folder is built in; caches of names would be memcached's, and without one they are only missing. Nothing writes its log to syslog.
    private const string Start = """
        set -e
        trap 'kill -KILL $servers 2>/dev/null || true' EXIT
        mkdir -p $DIR/disks/one
        printf '[swift-hash]\nswift_hash_path_prefix = exporter\nswift_hash_path_suffix = exporter\n[storage-policy:0]\nname = one\ndefault = yes\n' >$DIR/swift.conf
        common() {
          printf '[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = %s\nworkers = 0\nuser = %s\nswift_dir = %s\ndevices = %s/disks\n' $1 $(id -un) $DIR $DIR
          printf 'mount_check = false\ndisable_fallocate = true\nlog_level = WARNING\nlog_address = %s/no-syslog\n' $DIR
        }
        part() { common $2 >$DIR/$1.conf; printf '[pipeline:main]\npipeline = %s-server\n[app:%s-server]\nuse = egg:swift#%s\n' $1 $1 $1 >>$DIR/$1.conf; }
        part account $ACCOUNT; part container $CONTAINER; part object $OBJECT
        common $PROXY >$DIR/proxy.conf
        cat >>$DIR/proxy.conf <<PROXY
        [pipeline:main]
        pipeline = catch_errors cache listing_formats bulk s3api tempauth slo versioned_writes proxy-logging proxy-server
        [app:proxy-server]
        use = egg:swift#proxy
        account_autocreate = true
        conn_timeout = 10
        node_timeout = 60
        error_suppression_limit = 1000000
        [filter:tempauth]
        use = egg:swift#tempauth
        user_test_tester = $SECRET .admin
        [filter:s3api]
        use = egg:swift#s3api
        location = us-east-1
        [filter:cache]
        use = egg:swift#memcache
        memcache_servers = 127.0.0.1:9
        [filter:catch_errors]
        use = egg:swift#catch_errors
        [filter:listing_formats]
        use = egg:swift#listing_formats
        [filter:bulk]
        use = egg:swift#bulk
        [filter:slo]
        use = egg:swift#slo
        [filter:versioned_writes]
        use = egg:swift#versioned_writes
        [filter:proxy-logging]
        use = egg:swift#proxy_logging
        PROXY
        moved='import sys, swift.common.utils as utils; utils.SWIFT_CONF_FILE = sys.argv[1] + "/swift.conf"'
        /usr/bin/python3 -c "$moved
        from swift.common.ring import RingBuilder
        for name, port in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
            builder = RingBuilder(4, 1, 1)
            builder.add_dev(dict(region=1, zone=1, ip='127.0.0.1', port=port, replication_ip='127.0.0.1', replication_port=port, device='one', weight=1))
            builder.rebalance()
            builder.get_ring().save('%s/%s.ring.gz' % (sys.argv[1], name))
        " $DIR account $ACCOUNT container $CONTAINER object $OBJECT
        for part in account container object proxy; do
          /usr/bin/python3 -c "$moved
        from swift.common.wsgi import run_wsgi
        sys.exit(run_wsgi(sys.argv[2], sys.argv[3]))
        " $DIR $DIR/$part.conf $part-server </dev/null >>$DIR/$part.out 2>&1 & servers="$servers $!"
        done
        echo ready
        while read -r line; do :; done
        """;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private readonly string _directory;
    private readonly GuardedProcess _servers;

    private LocalSwift(Uri endpoint, string directory, GuardedProcess servers) => (Endpoint, _directory, _servers) = (endpoint, directory, servers);

    public Uri Endpoint { get; }

    /// <param name="packages">Where they were unpacked.</param>
    public static async Task<LocalSwift> StartAsync(string packages)
    {
        var directory = Directory.CreateTempSubdirectory("exporter-swift-").FullName;
        var ports = FreePorts(4);
        var servers = GuardedProcess.Start(Start, new Dictionary<string, string>
        {
            ["DIR"] = directory,
            ["SECRET"] = SecretKey,
            ["PROXY"] = ports[0],
            ["ACCOUNT"] = ports[1],
            ["CONTAINER"] = ports[2],
            ["OBJECT"] = ports[3],
            ["PYTHONPATH"] = Path.Combine(packages, "usr/lib/python3/dist-packages"),
            ["LD_LIBRARY_PATH"] = Path.Combine(packages, "usr/lib/x86_64-linux-gnu"),
        });
        var swift = new LocalSwift(new Uri($"http://127.0.0.1:{ports[0]}/"), directory, servers);
        try
        {
            foreach (var port in ports)
            {
                await swift.AnswersAsync(new Uri($"http://127.0.0.1:{port}/"));
            }

            return swift;
        }
        catch
        {
            await swift.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _servers.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private static string[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(listener => listener.Start());
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture)).ToArray();
        listeners.ForEach(listener => listener.Dispose());
        return ports;
    }

    private async Task AnswersAsync(Uri server)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync(server);
                return;
            }
            catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
            {
                if (clock.Elapsed > StartLimit || _servers.HasExited)
                {
                    throw new InvalidOperationException("Swift does not answer: " + string.Join('\n', Directory.GetFiles(_directory, "*.out").Select(File.ReadAllText)), error);
                }

                await Task.Delay(100);
            }
        }
    }
}

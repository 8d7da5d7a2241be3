using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Dapper;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Npgsql;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A statement that has come, before anything was done with it.</summary>
internal sealed record RedshiftCall(string Text, int Number);

/// <summary>What a fault breaks.</summary>
internal enum RedshiftCut
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The client's connection: what it has sent is done, and no answer reaches it.</summary>
    Client,

    /// <summary>Both sides, before the statement: what is not committed is rolled back.</summary>
    Both,

    /// <summary>Both sides, once the statement is done.</summary>
    After,
}

/// <summary>What becomes of a statement.</summary>
internal sealed record RedshiftFault
{
    public RedshiftCut Cut { get; init; }

    /// <summary>The statement is not executed, and this is answered.</summary>
    public RedshiftFailure? Error { get; init; }

    /// <summary>The statement is held up until then.</summary>
    public Task Waits { get; init; } = Task.CompletedTask;

    /// <summary>https://repost.aws/knowledge-center/redshift-serializable-isolation.</summary>
    public static RedshiftFault NotSerializable => new()
    {
        Error = new RedshiftFailure("XX000", "1023", "Serializable isolation violation on table - 1256109, transactions forming the cycle are: 647671, 647682 (pid:23880)"),
    };

    public static RedshiftFault Cancelled => new() { Error = new RedshiftFailure("57014", "Query (1234) cancelled on user's request") };
}

/// <summary>
/// Amazon Redshift on loopback: PostgreSQL's protocol in front of a real PostgreSQL. COPY is answered here, from the real bucket; what Redshift has not is refused; its limits, system
/// views and functions are there. What is not from its documentation is said where it stands.
/// </summary>
internal sealed class RedshiftServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly ConcurrentDictionary<RedshiftProxySession, bool> _sessions = new();
    private readonly NpgsqlDataSource _admin;
    private readonly LocalS3 _s3;
    private Task _accepting = Task.CompletedTask;
    private int _calls;

    private RedshiftServer(string connectionString, LocalS3 s3, string bucket)
    {
        Parts = new NpgsqlConnectionStringBuilder(connectionString);
        (_admin, _s3, Bucket) = (NpgsqlDataSource.Create(connectionString), s3, bucket);
        (Catalogue, Copy) = (new RedshiftCatalogue(_admin), new RedshiftCopy(s3));
    }

    /// <summary>The real PostgreSQL.</summary>
    public NpgsqlConnectionStringBuilder Parts { get; }

    public RedshiftCatalogue Catalogue { get; }

    public RedshiftCopy Copy { get; }

    public string Bucket { get; }

    public string User { get; } = $"exporter_{Guid.NewGuid():N}"[..20];

    public string Password { get; } = "pa'ss\\word";

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>What goes wrong; nothing by default.</summary>
    public Func<RedshiftCall, RedshiftFault?> Fault { get; set; } = _ => null;

    /// <summary>Every statement, in the order in which they came.</summary>
    public ConcurrentQueue<RedshiftCall> Calls { get; } = [];

    /// <summary>How many times a connection was cut on purpose.</summary>
    public long Cuts { get; private set; }

    public static async Task<RedshiftServer> StartAsync(LocalS3 s3, string connectionString)
    {
        var server = new RedshiftServer(connectionString, s3, await s3.CreateBucketAsync());
        await server.Catalogue.MakeAsync(server.User, server.Parts.Database!);
        NpgsqlConnection.ClearPool(new NpgsqlConnection(connectionString));
        server._listener.Start();
        server._accepting = server.AcceptAsync();
        return server;
    }

    /// <summary>The destination's configuration; a setting with the value null is left out.</summary>
    public Destination Configured(params (string Name, object? Value)[] settings)
    {
        var secrets = new Dictionary<string, string> { ["password"] = Password, ["stage_access_key"] = _s3.AccessKey, ["stage_secret_key"] = _s3.SecretKey };
        var destination = new Destination
        {
            Name = "redshift",
            Kind = "redshift",
            Settings = new()
            {
                ["host"] = "127.0.0.1", ["port"] = Port, ["database"] = Parts.Database, ["username"] = User, ["ssl_mode"] = "disable", ["iam_role"] = Copy.Roles[0],
                ["stage_bucket"] = Bucket, ["stage_prefix"] = "staged/a", ["stage_endpoint"] = _s3.Endpoint.ToString(), ["stage_part_size"] = 5 * 1024 * 1024,
            },
            Secrets = secrets,
        };
        foreach (var (name, value) in settings)
        {
            secrets.Remove(name);
            destination.Settings.Remove(name);
            if (value is int number)
            {
                destination.Settings[name] = number;
            }
            else if (value is string text && DestinationKinds.Get("redshift").Settings.First(setting => setting.Name == name).Secret)
            {
                secrets[name] = text;
            }
            else if (value is string plain)
            {
                destination.Settings[name] = plain;
            }
        }

        return destination;
    }

    public IDestination Open(params (string Name, object? Value)[] settings) => DestinationKinds.Open(Configured(settings), new FormatOptions());

    /// <summary>A column of rows, in PostgreSQL's SQL.</summary>
    public async Task<List<T>> ListAsync<T>(string sql)
    {
        await using var connection = await _admin.OpenConnectionAsync();
        return [.. await connection.QueryAsync<T>(sql)];
    }

    /// <summary>Executes PostgreSQL's SQL, as somebody else.</summary>
    public async Task ExecuteAsync(string sql)
    {
        await using var connection = await _admin.OpenConnectionAsync();
        await connection.ExecuteAsync(sql);
    }

    /// <summary>Executes Redshift's SQL, as the user.</summary>
    public async Task SayAsync(string sql)
    {
        var parts = new NpgsqlConnectionStringBuilder { Host = "127.0.0.1", Port = Port, Database = Parts.Database, Username = User, Password = Password, SslMode = SslMode.Disable, Pooling = false, IncludeErrorDetail = true };
        var builder = new NpgsqlDataSourceBuilder(parts.ConnectionString);
        builder.ConfigureTypeLoading(types => types.EnableTypeLoading(false));
        await using var data = builder.Build();
        await using var command = data.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The keys of the objects in the bucket.</summary>
    public async Task<List<string>> StagedAsync()
    {
        using var client = _s3.CreateClient();
        var page = await client.ListObjectsV2Async(new() { BucketName = Bucket });
        return [.. (page.S3Objects ?? []).Select(found => found.Key)];
    }

    public RedshiftCall Call(string sql)
    {
        var call = new RedshiftCall(sql, Interlocked.Increment(ref _calls) - 1);
        Calls.Enqueue(call);
        return call;
    }

    /// <summary>Cuts every connection.</summary>
    public void CutAll()
    {
        foreach (var session in _sessions.Keys)
        {
            session.Dispose();
            Cuts++;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var session in _sessions.Keys)
        {
            session.Dispose();
        }

        await ExecuteAsync($"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{User}'; drop owned by \"{User}\" cascade; drop role \"{User}\"");
        Catalogue.Dispose();
        await _admin.DisposeAsync();
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            var client = await _listener.AcceptTcpClientAsync(_end.Token);
            client.NoDelay = true;
            _ = ServeAsync(new RedshiftProxySession(this, client));
        }
    }

    private async Task ServeAsync(RedshiftProxySession session)
    {
        _sessions[session] = true;
        try
        {
            await session.RunAsync(_end.Token);
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // A side has gone.
        }
        finally
        {
            _sessions.TryRemove(session, out _);
            session.Dispose();
        }
    }
}

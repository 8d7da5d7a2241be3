using Exporter.Exports.Model;

namespace Exporter.Exports.Sources;

/// <summary>Where ClickHouse is and how it is read.</summary>
public sealed record ClickHouseOptions
{
    /// <summary>
    /// <c>Host=...;Port=8123;Protocol=http;Username=...;Password=...;Database=...</c>. The user needs SELECT only; its profile may
    /// say <c>readonly = 2</c>, but not 1, since queries carry settings. Host may be a list in order of preference, such as
    /// <c>offline,replica-2:8124</c>: a query goes to the first one that can be reached and is not behind. All must have the same rows.
    /// </summary>
    public required string ConnectionString { get; init; }

    /// <summary>How long a query may think before its first byte. Default 1 hour; more than zero.</summary>
    public TimeSpan FirstByteTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long nothing may come once bytes have come. Default 5 minutes; more than zero.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Queries of this process at once on one host; further ones wait. Default 32; from 1 to 1,000.</summary>
    public int MaxQueriesPerHost { get; init; } = 32;

    /// <summary>How often hosts that cannot be reached are tried in one go, with growing waits between. Default 4; from 1 to 20.</summary>
    public int ConnectAttempts { get; init; } = 4;

    /// <summary>
    /// How far a replicated table of a host may be behind (<c>system.replicas.absolute_delay</c>) for the host to be asked; further
    /// behind, the next host is, and when all are the run waits. Default 5 minutes where Host is a list, else, and with zero, it is not
    /// looked at. Whole seconds, up to 7 days. The user needs <c>SELECT</c> on <c>system.replicas</c>; without it there is a warning.
    /// </summary>
    public TimeSpan? MaxReplicaDelay { get; init; }

    /// <summary>ClickHouse's <c>max_execution_time</c> of each query. Default the server's; whole seconds, from 1 s to 7 days.</summary>
    public TimeSpan? MaxExecutionTime { get; init; }

    /// <summary>ClickHouse's <c>max_memory_usage</c> of each query, in bytes. Default the server's; at least 1 MiB.</summary>
    public long? MaxMemoryUsage { get; init; }

    /// <summary>ClickHouse's <c>max_threads</c> of each query. Default the server's; from 1 to 1,000.</summary>
    public int? MaxThreads { get; init; }

    /// <summary>How rows are compressed on the wire. Default LZ4.</summary>
    public WireCompression Compression { get; init; } = WireCompression.Lz4;

    /// <summary>Further ClickHouse settings of every query, such as <c>max_bytes_before_external_sort</c>. Default none.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="Destinations.UserErrorException">A value is out of the range that its property states.</exception>
    public ClickHouseOptions Validate()
    {
        ModelCheck.Range("clickhouse_max_queries", MaxQueriesPerHost, 1, 1_000);
        ModelCheck.Range("clickhouse_connect_attempts", ConnectAttempts, 1, 20);
        ModelCheck.Range("clickhouse_max_replica_delay", (long)(MaxReplicaDelay ?? TimeSpan.Zero).TotalSeconds, 0, 7 * 86_400);
        ModelCheck.Range("clickhouse_max_execution_time", (long)(MaxExecutionTime ?? TimeSpan.FromSeconds(1)).TotalSeconds, 1, 7 * 86_400);
        ModelCheck.Range("clickhouse_max_memory_usage", MaxMemoryUsage ?? long.MaxValue, 1L << 20, long.MaxValue);
        ModelCheck.Range("clickhouse_max_threads", MaxThreads ?? 1, 1, 1_000);
        return this;
    }

    /// <summary>For logs: without the connection string.</summary>
    public override string ToString() => "ClickHouse";
}

/// <summary>A compression of rows on the wire.</summary>
public enum WireCompression
{
    /// <summary>LZ4: about a sixth of the bytes for little time.</summary>
    Lz4,

    /// <summary>Zstandard: about a twelfth of the bytes, for networks that are slow or dear.</summary>
    Zstd,

    /// <summary>None: for a network that is faster than LZ4.</summary>
    None,
}

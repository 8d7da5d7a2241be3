using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Sources;

/// <summary>What the source logs.</summary>
internal static partial class SourceLog
{
    [LoggerMessage(4001, LogLevel.Warning, "The query {QueryId} could not be killed: {Error}")]
    public static partial void NotKilled(ILogger logger, string queryId, string error);

    [LoggerMessage(4002, LogLevel.Warning, "ClickHouse at {Host} cannot be asked: {Error}")]
    public static partial void Unreachable(ILogger logger, string host, string error);

    [LoggerMessage(4003, LogLevel.Warning, "Whether ClickHouse at {Host} is behind is not known (grant SELECT ON system.replicas, or set clickhouse_max_replica_delay to 0): {Error}")]
    public static partial void DelayNotKnown(ILogger logger, string host, string error);
}

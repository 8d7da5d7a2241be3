using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Sources;

/// <summary>What the source logs.</summary>
internal static partial class SourceLog
{
    [LoggerMessage(4001, LogLevel.Warning, "The query {QueryId} could not be killed: {Error}")]
    public static partial void NotKilled(ILogger logger, string queryId, string error);

    [LoggerMessage(4002, LogLevel.Warning, "ClickHouse at {Host} cannot be reached: {Error}")]
    public static partial void Unreachable(ILogger logger, string host, string error);
}

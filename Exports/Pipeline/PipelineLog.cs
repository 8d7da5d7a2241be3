using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>What the pipeline logs.</summary>
internal static partial class PipelineLog
{
    [LoggerMessage(4101, LogLevel.Warning, "Run {RunId}, slice {Slice}: what its attempt has moved could not be written: {Error}")]
    public static partial void AttemptNotWritten(ILogger logger, Guid runId, int slice, string error);

    [LoggerMessage(4102, LogLevel.Warning, "Run {RunId}: what its planning has read could not be written: {Error}")]
    public static partial void PlanningNotWritten(ILogger logger, Guid runId, string error);

    [LoggerMessage(4103, LogLevel.Warning, "Whether exports are late could not be found out: {Error}")]
    public static partial void LatenessUnknown(ILogger logger, string error);
}

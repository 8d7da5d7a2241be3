using System.Globalization;
using System.Text.Json;
using Exporter.Engine.Workflows;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>How the queries of a run are named at ClickHouse: after run, part, epoch and attempt, so that no two attempts share one.</summary>
internal static class QueryNames
{
    /// <summary>What the ids of a run's queries begin with.</summary>
    public static string Prefix(Guid runId) => $"exporter-{runId:N}-";

    /// <summary>Whether a query with the run's prefix is that of a slice, whose number comes next; others are named by a word.</summary>
    public static bool IsOfSlice(string id, string prefix) => id.Length > prefix.Length && char.IsAsciiDigit(id[prefix.Length]);

    /// <summary>The query that reads a slice.</summary>
    public static QueryName OfSlice(IStepContext step, string export, int slice) => new(
        Id(step, slice.ToString(CultureInfo.InvariantCulture)),
        JsonSerializer.Serialize(new { export, run = step.RunId, slice, attempt = step.Attempt, epoch = step.FencingToken }));

    /// <summary>Names the small queries that a part of a run asks from here on, until it is disposed of.</summary>
    /// <param name="step">The step that asks.</param>
    /// <param name="export">The batch export's name.</param>
    /// <param name="part">A word, and what tells it from the same in another place of the run: what asks at the same time needs a name of its own.</param>
    public static QueryWatch Watch(IStepContext step, string export, string part) => QueryWatch.Begin(
        Id(step, part) + "-", JsonSerializer.Serialize(new { export, run = step.RunId, part, attempt = step.Attempt, epoch = step.FencingToken }));

    private static string Id(IStepContext step, string part) =>
        string.Create(CultureInfo.InvariantCulture, $"{Prefix(step.RunId)}{part}-{step.FencingToken}-{step.Attempt}");
}

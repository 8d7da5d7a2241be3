using System.Globalization;
using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A job of the double, and the resource that says how it stands: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job.</summary>
internal sealed class BigQueryJob(string id, JsonObject body, string? path)
{
    public JsonObject Body => body;

    public string? Path => path;

    public int Polls { get; set; }

    public bool IsDone { get; set; }

    public BigQueryFailure? Failure { get; set; }

    public int LoadedRows { get; set; }

    public IReadOnlyList<string> Columns { get; set; } = [];

    public IReadOnlyList<IReadOnlyList<string?>> Rows { get; set; } = [];

    public void Cancel()
    {
        if (!IsDone)
        {
            (Failure, Polls, IsDone) = (new BigQueryFailure(200, "stopped", "Job execution was cancelled: User requested cancellation"), 0, true);
        }
    }

    public JsonObject Resource()
    {
        var status = new JsonObject { ["state"] = IsDone ? "DONE" : "RUNNING" };
        if (IsDone && Failure is { } failure)
        {
            (status["errorResult"], status["errors"]) = (failure.Proto(), new JsonArray(failure.Proto()));
        }

        return new JsonObject
        {
            ["kind"] = "bigquery#job",
            ["id"] = $"{BigQueryTables.Project}:{BigQueryServer.Location}.{id}",
            ["jobReference"] = new JsonObject { ["projectId"] = BigQueryTables.Project, ["jobId"] = id, ["location"] = BigQueryServer.Location },
            ["configuration"] = body["configuration"]!.DeepClone(),
            ["status"] = status,
            ["statistics"] = new JsonObject { ["load"] = new JsonObject { ["outputRows"] = LoadedRows.ToString(CultureInfo.InvariantCulture) } },
        };
    }
}

using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>What was submitted, and what has become of it.</summary>
internal sealed class SnowflakeExecution(string handle, string requestId, JsonObject body)
{
    public string Handle => handle;

    public string RequestId => requestId;

    public JsonObject Body => body;

    public int Polls { get; set; }

    public int PollStatus { get; set; } = 202;

    public SnowflakeAnswer? Answer { get; set; }

    public SnowflakeFailure? Failure { get; set; }

    public List<string> Children { get; } = [];
}

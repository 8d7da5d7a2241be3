using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Tests.Cli;

/// <summary>
/// Compares answers with the texts in Cli/Json, from which all is taken that differs between runs and machines. With
/// UPDATE_TEXTS=1 in the environment the texts are written instead.
/// </summary>
internal sealed partial class JsonTexts(CliServers servers)
{
    private static readonly bool Updates = Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1";
    private readonly HashSet<string> _used = [];

    /// <summary>Runs a command with <c>--json</c>, which must end with exit status 0, and checks its answer.</summary>
    public Task<JsonNode> AnswerAsync(string name, params string[] arguments) => AnswerAsync(0, name, arguments);

    /// <summary>Runs a command with <c>--json</c> and checks its answer.</summary>
    public async Task<JsonNode> AnswerAsync(int status, string name, params string[] arguments)
    {
        var result = await servers.Cli.RunAsync([.. arguments, "--json"]);
        Assert.That((result.Status, result.Error), Is.EqualTo((status, "")), result.Out);
        Check(name, result.Out);
        return JsonNode.Parse(result.Out)!;
    }

    /// <summary>Fails when the answer is no JSON, or not the text of this name.</summary>
    private void Check(string name, string answer)
    {
        Assert.That(_used.Add(name), Is.True, $"{name} stands for two answers");
        Assert.That(() => JsonNode.Parse(answer), Throws.Nothing, answer);
        var file = Path.Combine(Folder(), name + ".json");
        var text = Normal(answer);
        if (Updates)
        {
            File.WriteAllText(file, text);
        }

        Assert.That(text, Is.EqualTo(File.Exists(file) ? File.ReadAllText(file) : ""), $"{name}.json; UPDATE_TEXTS=1 writes it anew");
    }

    /// <summary>Fails when a text is there that no answer was compared with.</summary>
    public void CheckAllUsed() =>
        Assert.That(Directory.GetFiles(Folder(), "*.json").Select(Path.GetFileNameWithoutExtension), Is.EquivalentTo(_used));

    private string Normal(string answer)
    {
        answer = answer.Replace(servers.Folder, "<folder>", StringComparison.Ordinal).Replace(servers.Database, "<database>", StringComparison.Ordinal)
            .Replace($"\"{Environment.UserName}\"", "\"<user>\"", StringComparison.Ordinal);
        answer = Id().Replace(answer, "<id>");
        answer = Hash().Replace(answer, "<sha256>");

        // Times of the data are fixed; those of the clock are not.
        answer = Time().Replace(answer, time => time.Value.StartsWith("2026-03-0", StringComparison.Ordinal) ? time.Value : "<time>");
        answer = Size().Replace(answer, "${name}\"<number>\"");
        answer = Pace().Replace(answer, "\"time\": \"<duration>\"");
        answer = Free().Replace(answer, "<size> free");
        return Server().Replace(answer, "${name} <version> at <server>");
    }

    private static string Folder([CallerFilePath] string file = "") => Path.Combine(Path.GetDirectoryName(file)!, "Json");

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")]
    private static partial Regex Id();

    [GeneratedRegex("[0-9a-f]{64}")]
    private static partial Regex Hash();

    [GeneratedRegex(@"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)")]
    private static partial Regex Time();

    // Zero and null are kept: they do not depend on a server's mood.
    [GeneratedRegex("(?<name>\"(bytes|bytes_written|written_bytes|source_bytes|read_bytes|sent_bytes|planning_[a-z_]*|log_id|audit_id|epoch)\": )([1-9][0-9.]*|0\\.[0-9]+)")]
    private static partial Regex Size();

    // How long something would take.
    [GeneratedRegex("\"time\": \"[0-9]+[smhdw]\"")]
    private static partial Regex Pace();

    [GeneratedRegex("[0-9.]+ [KMGT]iB free")]
    private static partial Regex Free();

    [GeneratedRegex("(?<name>PostgreSQL|ClickHouse) [0-9][^\"]* at [^\"]*")]
    private static partial Regex Server();
}

using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Exporter.Engine.Tests.Chaos.Peers;

/// <summary>What a peer did with a write of a worker whose job another one had taken over.</summary>
/// <param name="Peer">Its package.</param>
/// <param name="Version">Of the package.</param>
/// <param name="Call">The write.</param>
/// <param name="After">Whether it was accepted after the takeover.</param>
/// <param name="During">Whether it was accepted when it met the takeover before that was committed; null where that was not tried.</param>
internal sealed record PeerAnswer(string Peer, string Version, string Call, bool After, bool? During)
{
    public const string Title = "peer                     call                                         after     during";

    public static PeerAnswer Parse(string line) => JsonSerializer.Deserialize<PeerAnswer>(line, JsonSerializerOptions.Web)!;

    public override string ToString() =>
        $"{Peer + " " + Version,-24} {Call,-44} {(After ? "accepted" : "refused"),-9} {(During is not { } during ? "-" : during ? "accepted" : "refused")}";
}

/// <summary>Asks other engines on PostgreSQL the same as <see cref="StaleWrites"/> asks ours, by stale-writes.mjs.</summary>
internal static class PeerStaleWrites
{
    /// <returns>False when they could not be asked.</returns>
    public static async Task<bool> AskAsync(string database, TextWriter output)
    {
        if (!await PeerPackages.FetchAsync(output))
        {
            return false;
        }

        await output.WriteLineAsync(PeerAnswer.Title);
        string[] absurd = PeerPackages.AbsurdSql(output) is { } file ? [file] : [];
        return await PeerPackages.RunAsync(
            Path.Combine(Path.GetDirectoryName(SourceFile())!, "stale-writes.mjs"),
            line => output.WriteLine(PeerAnswer.Parse(line)),
            output,
            [PeerPackages.UrlOf(database), .. absurd]);
    }

    private static string SourceFile([CallerFilePath] string file = "") => file;
}

/// <summary>The parts that need no node; the rest is <c>make stale-writes PEERS=1</c>.</summary>
public sealed class PeerStaleWritesTests
{
    [TestCase("""{"peer":"pg-boss","version":"12.38.0","call":"fail","after":true,"during":false}""", "pg-boss 12.38.0          fail                                         accepted  refused")]
    [TestCase("""{"peer":"graphile-worker","version":"0.18.0","call":"fail","after":false,"during":null}""", "graphile-worker 0.18.0   fail                                         refused   -")]
    public void An_answer_is_a_row_of_the_table(string line, string row) => Assert.That(PeerAnswer.Parse(line).ToString(), Is.EqualTo(row));

    [Test]
    public void A_connection_string_becomes_the_url_that_node_takes() => Assert.That(
        PeerPackages.UrlOf("Host=127.0.0.1;Port=5433;Username=me;Password=a b@c;Database=db"), Is.EqualTo("postgres://me:a%20b%40c@127.0.0.1:5433/db"));
}

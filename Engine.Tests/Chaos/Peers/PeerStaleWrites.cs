using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Exporter.Engine.Testing;
using Npgsql;

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

/// <summary>
/// Asks other engines on PostgreSQL the same as <see cref="StaleWrites"/> asks ours: their packages are fetched from npm into
/// .tools, at the versions and hashes of package-lock.json, and driven by stale-writes.mjs.
/// </summary>
internal static class PeerStaleWrites
{
    /// <returns>False when they could not be asked.</returns>
    public static async Task<bool> AskAsync(string database, TextWriter output)
    {
        var own = Path.GetDirectoryName(File())!;
        var folder = Directory.CreateDirectory(Path.Combine(ToolFolder.Candidates("").First(Directory.Exists), "peers")).FullName;
        try
        {
            foreach (var name in new[] { "package.json", "package-lock.json", "stale-writes.mjs" })
            {
                System.IO.File.Copy(Path.Combine(own, name), Path.Combine(folder, name), overwrite: true);
            }

            await RunAsync("npm", folder, TextWriter.Null.WriteLine, "ci", "--ignore-scripts", "--no-audit", "--no-fund");
            await output.WriteLineAsync(PeerAnswer.Title);
            await RunAsync("node", folder, line => output.WriteLine(PeerAnswer.Parse(line)), ["stale-writes.mjs", UrlOf(database), .. AbsurdSql(output)]);
            return true;
        }
        catch (Exception error) when (error is System.ComponentModel.Win32Exception or InvalidOperationException)
        {
            await output.WriteLineAsync($"PEERS=1 needs node 20 or newer and npm: {error.Message}");
            return false;
        }
    }

    /// <summary>The form that node-postgres takes.</summary>
    public static string UrlOf(string connectionString)
    {
        var of = new NpgsqlConnectionStringBuilder(connectionString);
        return new UriBuilder("postgres", of.Host, of.Port, of.Database)
        {
            UserName = Uri.EscapeDataString(of.Username ?? ""), Password = Uri.EscapeDataString(of.Password ?? ""),
        }.Uri.AbsoluteUri;
    }

    // Its package has the library alone; the SQL is in its repository.
    private static string[] AbsurdSql(TextWriter output)
    {
        if (Environment.GetEnvironmentVariable("ABSURD_SQL") is { Length: > 0 } file)
        {
            return [Path.GetFullPath(file)];
        }

        output.WriteLine("absurd is not asked: its SQL is in no npm package. Take sql/absurd.sql of release 0.4.0 from its repository and set ABSURD_SQL to it.");
        return [];
    }

    private static async Task RunAsync(string program, string folder, Action<string> line, params string[] arguments)
    {
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true },
        };
        process.Start();
        var errors = process.StandardError.ReadToEndAsync();
        while (await process.StandardOutput.ReadLineAsync() is { } said)
        {
            line(said);
        }

        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {arguments[0]} ended with status {process.ExitCode}: {await errors}");
        }
    }

    private static string File([CallerFilePath] string file = "") => file;
}

/// <summary>The parts that need no node; the rest is <c>make stale-writes PEERS=1</c>.</summary>
public sealed class PeerStaleWritesTests
{
    [TestCase("""{"peer":"pg-boss","version":"12.38.0","call":"fail","after":true,"during":false}""", "pg-boss 12.38.0          fail                                         accepted  refused")]
    [TestCase("""{"peer":"graphile-worker","version":"0.18.0","call":"fail","after":false,"during":null}""", "graphile-worker 0.18.0   fail                                         refused   -")]
    public void An_answer_is_a_row_of_the_table(string line, string row) => Assert.That(PeerAnswer.Parse(line).ToString(), Is.EqualTo(row));

    [Test]
    public void A_connection_string_becomes_the_url_that_node_takes() => Assert.That(
        PeerStaleWrites.UrlOf("Host=127.0.0.1;Port=5433;Username=me;Password=a b@c;Database=db"), Is.EqualTo("postgres://me:a%20b%40c@127.0.0.1:5433/db"));
}

using System.Diagnostics;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Exporter.Engine.Tests;
using Npgsql;

namespace Exporter.Exports.Tests.Cli;

/// <summary>docs/quickstart.md, typed command by command.</summary>
internal sealed partial class QuickstartTests
{
    private const int Rows = 4000;

    [Test]
    public async Task Every_command_of_the_quickstart_works_in_its_order()
    {
        var folder = Directory.CreateTempSubdirectory("exporter-quickstart-");
        try
        {
            await using var dev = new ExporterCli(folder.FullName, new Dictionary<string, string?>()).Start(new CliCall(), "dev", "--rows", $"{Rows}");
            await Eventually.TrueAsync(() => dev.HasExited || dev.Log.Contains("Ctrl-C ends everything", StringComparison.Ordinal), "it says what to paste", 120);
            Assert.That(dev.HasExited, Is.False, dev.Log);
            // As far as the variables and the alias go; the rest is for who does not read on.
            var paste = string.Join('\n', dev.Log.Split('\n').Select(line => line.Trim())
                .Where(line => line.StartsWith("export ", StringComparison.Ordinal) || line.StartsWith("alias ", StringComparison.Ordinal)));
            var said = new List<string>();
            foreach (var (language, commands) in Blocks(await File.ReadAllTextAsync(Repository.PathOf("docs/quickstart.md"))))
            {
                if (language == "sql")
                {
                    await using var data = NpgsqlDataSource.Create(Variable().Match(paste).Groups[1].Value);
                    await using var command = data.CreateCommand(commands);
                    Assert.That(await command.ExecuteScalarAsync(), Is.Null, commands);
                    continue;
                }

                var (status, output) = await ShellAsync(folder.FullName, $"set -eu\nshopt -s expand_aliases\n{paste}\n{commands}");
                Assert.That(status, Is.Zero, $"{commands}\n{output}");
                said.Add(output);
            }

            Assert.That(said, Has.Count.EqualTo(9), "every block was found");
            Assert.That(said[3], Does.Contain($"{Rows / 4:N0}"), "a quarter of the events are purchases");
            var manifests = Directory.EnumerateFiles(Path.Combine(folder.FullName, "quickstart"), "manifest.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal);
            Assert.That(
                manifests.Select(path => (long)JsonNode.Parse(File.ReadAllText(path))!["rows"]!), Is.EqualTo(new[] { 0L, 0, Rows / 4 }), "two empty days of the backfill, and the day that was there");
            await dev.TerminateAsync();
            await dev.EndAsync(TimeSpan.FromSeconds(60));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static IEnumerable<(string Language, string Commands)> Blocks(string text) =>
        Fence().Matches(text).Select(match => (match.Groups["language"].Value, match.Groups["commands"].Value));

    private static async Task<(int Status, string Output)> ShellAsync(string home, string script)
    {
        var start = new ProcessStartInfo("bash", ["-s"]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["HOME"] = home;
        start.Environment["XDG_CONFIG_HOME"] = home;
        start.Environment["NO_COLOR"] = "1";
        using var shell = Process.Start(start)!;
        var (output, error) = (shell.StandardOutput.ReadToEndAsync(), shell.StandardError.ReadToEndAsync());
        await shell.StandardInput.WriteAsync(script);
        shell.StandardInput.Close();
        await shell.WaitForExitAsync();
        return (shell.ExitCode, await output + await error);
    }

    [GeneratedRegex("^```(?<language>sh|sql)\n(?<commands>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex("EXPORTER_POSTGRES='([^']*)'")]
    private static partial Regex Variable();
}

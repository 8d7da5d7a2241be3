using System.Globalization;
using Exporter.Engine.Tests;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Cli;

/// <summary><c>exporter demo</c>, as somebody who has just installed the program runs it.</summary>
[Platform("Linux", Reason = "the demo's key is read from the environment of its worker, in /proc")]
[Parallelizable(ParallelScope.Self)]
internal sealed class DemoTests
{
    [Test]
    public async Task The_demo_finds_every_row_once_tells_no_secret_and_leaves_nothing()
    {
        var folder = Directory.CreateTempSubdirectory("exporter-demo-test-");
        try
        {
            // Its folders lie in a folder of the test, so that what is left is seen.
            var temporary = folder.CreateSubdirectory("tmp").FullName;
            LetOthersThrough(folder.FullName, temporary);
            var call = new CliCall { Environment = { ["TMPDIR"] = temporary } };
            await using var demo = new ExporterCli(folder.FullName, new Dictionary<string, string?>()).Start(call, "demo", "--rows", "20000");
            demo.EndInput();
            var keys = new HashSet<string>();
            await Eventually.TrueAsync(
                () =>
                {
                    keys.UnionWith(KeysOfChildren(demo.Id));
                    return demo.HasExited;
                },
                "the demo ends",
                180);
            var ended = await demo.EndAsync(TimeSpan.FromSeconds(30));
            Assert.That(ended.Status, Is.Zero, ended.Error + ended.Out);
            Assert.That(ended.Out, Does.Contain("Every row is there exactly once.").And.Contain("SIGKILL"));
            Assert.That(keys, Has.Count.EqualTo(1), "the key that both of its workers had");

            var search = new SecretSearch([.. keys, LocalClickHouse.Password]);
            Assert.That(search.In("output", ended.Out + ended.Error), Is.Empty);
            Assert.That(search.In("needle", "key: " + keys.Single()), Is.Not.Empty);
            Assert.That(Directory.GetFileSystemEntries(temporary).Select(Path.GetFileName), Is.Empty.Or.All.Match("^(clr-debug-pipe|dotnet-diagnostic|\\.dotnet)"));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // As root, the demo's PostgreSQL is another user's process.
    private static void LetOthersThrough(params string[] folders)
    {
        foreach (var one in folders)
        {
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(one, File.GetUnixFileMode(one) | UnixFileMode.OtherExecute | UnixFileMode.OtherRead);
            }
        }
    }

    // The demo gives its workers the key by environment, where only the same user can see it.
    private static IEnumerable<string> KeysOfChildren(int parent)
    {
        const string Variable = "EXPORTER_ENCRYPTION_KEY=";
        foreach (var process in Directory.GetDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)))
        {
            string[] environment;
            try
            {
                // The parent is the second word after the name, which stands in brackets.
                var stat = File.ReadAllText(Path.Combine(process, "stat"));
                var words = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
                environment = int.Parse(words[1], CultureInfo.InvariantCulture) == parent ? File.ReadAllText(Path.Combine(process, "environ")).Split('\0') : [];
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is another user's.
                continue;
            }

            foreach (var variable in environment.Where(variable => variable.StartsWith(Variable, StringComparison.Ordinal)))
            {
                yield return variable[Variable.Length..];
            }
        }
    }
}

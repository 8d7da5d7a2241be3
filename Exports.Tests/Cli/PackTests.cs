using System.Diagnostics;
using System.IO.Compression;

namespace Exporter.Exports.Tests.Cli;

/// <summary>What <c>dotnet pack</c> makes: two libraries, and the program as a tool.</summary>
internal sealed class PackTests
{
    [Test]
    public async Task Packing_makes_both_libraries_and_a_tool_that_can_be_installed()
    {
        var folder = Directory.CreateTempSubdirectory("exporter-pack-");
        try
        {
            var packages = folder.CreateSubdirectory("packages").FullName;
            foreach (var project in new[] { "Engine", "Exports" })
            {
                await RunAsync("dotnet", "pack", Repository.PathOf(project), "--no-build", "-c", Configuration, "-o", packages, "-v", "quiet");
            }

            Assert.That(
                Directory.GetFiles(packages).Select(path => Path.GetFileName(path).Split(".0.", 2)[0]),
                Is.EquivalentTo(new[] { "Exporter.Engine", "Exporter.Exports", "Exporter.Tool" }));
            foreach (var library in Directory.GetFiles(packages).Where(path => !path.Contains(".Tool.", StringComparison.Ordinal)))
            {
                using var package = await ZipFile.OpenReadAsync(library);
                Assert.That(package.Entries.Select(entry => entry.FullName), Does.Contain("README.md").And.Some.Match(@"^lib/net10\.0/\w.*\.xml$"), library);
            }

            var tools = Path.Combine(folder.FullName, "tools");
            await RunAsync("dotnet", "tool", "install", "Exporter.Tool", "--tool-path", tools, "--source", packages);
            Assert.That(Convert.FromBase64String((await RunAsync(Path.Combine(tools, "exporter"), "keys", "generate")).Trim()), Has.Length.EqualTo(32));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // The tests' own: what they were built with is what is packed.
    private static string Configuration => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, await output + await error);
        return await output;
    }
}

using System.Diagnostics;
using System.Text.RegularExpressions;
using Amazon.S3;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Compatibility;

/// <summary>
/// What <c>make s3-compat</c> calls: tries each feature at each server that there is, and prints the table that stands in
/// docs/destinations/s3.md; <c>UPDATE_TEXTS=1</c> writes it there.
/// </summary>
internal static partial class S3Compat
{
    /// <returns>0 when the table is the one of the document, 1 when it is not or something was not tried.</returns>
    public static async Task<int> RunAsync(string tools)
    {
        var columns = new List<(string Name, IReadOnlyList<string> Answers)>();
        var complete = true;
        foreach (var (name, open) in Servers(tools))
        {
            await Console.Error.WriteLineAsync(name);
            try
            {
                await using var running = await open();
                columns.Add((name, await TryAllAsync(running.Server)));
            }
            catch (Exception error)
            {
                // The others can still be asked.
                await Console.Error.WriteLineAsync($"  could not be tried: {error}");
                complete = false;
            }
        }

        var table = Table(columns);
        await Console.Out.WriteAsync(table);
        if (!complete)
        {
            return 1;
        }

        var text = await File.ReadAllTextAsync(Page());
        var expected = Shown().Replace(text, "<!-- s3-compat -->\n" + table + "\n");
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await File.WriteAllTextAsync(Page(), expected);
            return 0;
        }

        await Console.Error.WriteLineAsync(text == expected ? "docs/destinations/s3.md says the same." : "docs/destinations/s3.md says otherwise; UPDATE_TEXTS=1 writes the table there.");
        return text == expected ? 0 : 1;
    }

    private static IEnumerable<(string Name, Func<Task<Running>> OpenAsync)> Servers(string tools)
    {
        yield return ($"Ceph {Version("radosgw")}", () => CephAsync($"Ceph {Version("radosgw")}", programs: null));
        var newer = Path.Combine(tools, "ceph20/bin");
        var name = $"Ceph {Version(Path.Combine(newer, "radosgw"))}";
        yield return (name, () => CephAsync(name, newer));
        var packages = Path.Combine(tools, "swift");
        var swift = Directory.Exists(packages) ? Directory.GetDirectories(Path.Combine(packages, "usr/lib/python3/dist-packages"), "swift-*").Select(Path.GetFileName).Single()! : "swift";
        yield return ("Swift " + Number().Match(swift).Value, () => SwiftAsync("Swift " + Number().Match(swift).Value, packages));
    }

    private static async Task<Running> CephAsync(string name, string? programs)
    {
        var server = await LocalS3.StartAsync(programs);
        return new Running(new S3Server(name, server.Endpoint, server.AccessKey, server.SecretKey), server);
    }

    private static async Task<Running> SwiftAsync(string name, string packages)
    {
        if (!Directory.Exists(packages))
        {
            throw new FileNotFoundException($"{packages} is not there: .ci/install-tools --s3-compat makes it.");
        }

        var server = await LocalSwift.StartAsync(packages);
        return new Running(new S3Server(name, server.Endpoint, LocalSwift.AccessKey, LocalSwift.SecretKey), server);
    }

    private static async Task<IReadOnlyList<string>> TryAllAsync(S3Server server)
    {
        var answers = new List<string>();
        foreach (var feature in S3Features.All)
        {
            using var place = await S3Place.MakeAsync(server);
            string answer;
            try
            {
                answer = await feature.HonoursAsync(place) ? "yes" : "no";
            }
            catch (AmazonS3Exception error)
            {
                answer = $"refused ({error.ErrorCode})";
            }

            answers.Add(answer);
            await Console.Error.WriteLineAsync($"  {feature.Name}: {answer}");
        }

        return answers;
    }

    private static string Table(List<(string Name, IReadOnlyList<string> Answers)> columns)
    {
        var rows = S3Features.All.Select((feature, row) => string.Join(" | ", columns.Select(column => column.Answers[row]).Prepend(feature.Name)));
        return string.Concat(rows
            .Prepend(string.Join(" | ", Enumerable.Repeat("---", columns.Count + 1)))
            .Prepend(string.Join(" | ", columns.Select(column => column.Name).Prepend("asked of the server")))
            .Select(row => $"| {row} |\n"));
    }

    private static string Version(string program)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, ["--version"]) { RedirectStandardOutput = true })!;
            var said = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return Number().Match(said).Value;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "(not there)";
        }
    }

    private static string Page() => Repository.PathOf("docs/destinations/s3.md");

    [GeneratedRegex(@"<!-- s3-compat -->\n(\|.*\n)*\n")]
    private static partial Regex Shown();

    [GeneratedRegex(@"[0-9]+(\.[0-9]+)+")]
    private static partial Regex Number();

    /// <summary>A server that was started for this.</summary>
    private sealed class Running(S3Server server, IAsyncDisposable process) : IAsyncDisposable
    {
        public S3Server Server => server;

        public ValueTask DisposeAsync() => process.DisposeAsync();
    }
}

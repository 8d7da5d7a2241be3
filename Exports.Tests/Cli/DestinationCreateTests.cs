using System.Diagnostics;

namespace Exporter.Exports.Tests.Cli;

/// <summary>A destination is made from a YAML file, or by answering what is asked in a terminal.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class DestinationCreateTests
{
    private CliServers _servers = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(rows: 10);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await _servers.DisposeAsync();

    [Test]
    public async Task A_yaml_file_makes_a_destination_with_its_types_and_secrets()
    {
        var file = Path.Combine(_servers.Folder, "hook.yaml");
        await File.WriteAllTextAsync(Path.Combine(_servers.Folder, "hook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        await File.WriteAllTextAsync(
            file,
            $$"""
            kind: webhook
            name: from-yaml
            url: https://hooks.example.com/events
            secret_file: {{Path.Combine(_servers.Folder, "hook.secret")}}
            secret_headers: '{"Authorization": "Bearer hidden"}'
            batch_rows: 50
            gzip: true
            """);
        _ = (await _servers.Cli.RunAsync("destination", "create", "--file", file, "--skip-test")).Answer;
        var shown = await _servers.Cli.RunAsync("destination", "show", "from-yaml", "--json");

        Assert.That(shown.Out, Does.Contain("\"batch_rows\": 50").And.Contain("\"gzip\": true").And.Contain("\"secret_headers\""));
        Assert.That(shown.Out, Does.Not.Contain("hidden").And.Not.Contain("whsec_"));
    }

    [TestCase("kind: files\nname: y\nfolder: /tmp", "folder")]
    [TestCase("kind: files\nname: y", "root")]
    [TestCase("name: y\nroot: /tmp", "kind")]
    [TestCase("kind: ftp\nname: y", "ftp")]
    [TestCase("kind: s3\nname: y\nbucket: bucket\npart_size: large", "part_size")]
    [TestCase("kind: s3\nname: y\nbucket: bucket\naccess_key_env: NOT_SET\nsecret_key_env: NOT_SET", "NOT_SET")]
    [TestCase("kind: [files", "line")]
    public async Task A_file_that_is_wrong_is_refused_in_a_sentence(string text, string named)
    {
        var file = Path.Combine(_servers.Folder, "wrong.yaml");
        await File.WriteAllTextAsync(file, text);
        var result = await _servers.Cli.RunAsync("destination", "create", "--file", file);

        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")));
        Assert.That(result.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1));
        Assert.That(result.Error, Does.Contain(named));
    }

    [Test]
    public async Task Without_a_terminal_nothing_is_asked()
    {
        var result = await _servers.Cli.RunAsync("destination", "create");
        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")));
        Assert.That(result.Error, Does.Contain("files").And.Contain("webhook").And.Contain("--file"));
    }

    // script(1) is a terminal for the program that it runs.
    [Test]
    [Platform("Linux")]
    public async Task In_a_terminal_what_is_missing_is_asked_for()
    {
        var command = $"dotnet exec {ExporterCli.Program} destination create files";
        var start = new ProcessStartInfo("script", ["-qefc", command, "/dev/null"]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (var (name, value) in new[] { ("EXPORTER_POSTGRES", _servers.Postgres), ("EXPORTER_CLICKHOUSE", _servers.ClickHouse), ("EXPORTER_ENCRYPTION_KEY", _servers.Key), ("TERM", "xterm") })
        {
            start.Environment[name] = value;
        }

        using var terminal = Process.Start(start)!;
        var reading = terminal.StandardOutput.ReadToEndAsync();
        await terminal.StandardInput.WriteAsync($"asked\n{_servers.Root}\n");
        await terminal.StandardInput.FlushAsync();
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await terminal.WaitForExitAsync(deadline.Token);

        var said = await reading;
        Assert.That(terminal.ExitCode, Is.Zero, said);
        Assert.That(said, Does.Contain("Name of the destination?").And.Contain("root?").And.Contain("Created destination asked."));
        Assert.That((await _servers.Cli.RunAsync("destination", "show", "asked", "--json")).Out, Does.Contain(_servers.Root));
    }
}

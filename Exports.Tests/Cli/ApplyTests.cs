using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Files as configuration, as an operator or a pipeline applies them.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class ApplyTests
{
    private CliServers _servers = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(rows: 10);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await (_servers?.DisposeAsync() ?? ValueTask.CompletedTask);

    [Test]
    public async Task A_file_is_applied_once_and_again_changes_nothing_and_what_is_there_comes_back_as_a_file()
    {
        var text = $$"""
            destinations:
              - {name: lake, kind: files, root: {{_servers.Root}}}
              - {name: hook, kind: webhook, url: "https://hooks.example.com/x", secret_env: HOOK_SECRET}
            exports:
              - name: events
                destination: lake
                model: {table: events, cursor_column: at, key_columns: [id]}
                schedule: {every: 1h}
            """;
        var file = Path.Combine(_servers.Folder, "exports.yaml");
        await File.WriteAllTextAsync(file, text);
        var call = new CliCall { Environment = { ["HOOK_SECRET"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } };

        var dry = await _servers.Cli.RunAsync(call, "apply", "-f", file, "--dry-run");
        Assert.That(dry.Answer, Does.Contain("+ destination lake").And.Contain("+ export events").And.Contain("Nothing was changed"));
        Assert.That((await _servers.Cli.RunAsync("export", "list")).Answer, Does.Contain("There are no batch exports"));

        Assert.That((await _servers.Cli.RunAsync(call, "apply", "-f", file, "--skip-test")).Answer, Does.Contain("Done: 3 made."));
        Assert.That((await _servers.Cli.RunAsync(call, "apply", "-f", file)).Answer, Does.Contain("Everything is so already."));

        // Changed by file: a filter, and another secret, which is not shown.
        await File.WriteAllTextAsync(file, text.Replace("cursor_column: at,", "cursor_column: at, filter: id > 3,", StringComparison.Ordinal));
        call.Environment["HOOK_SECRET"] = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        var changed = await _servers.Cli.RunAsync(call, "apply", "-f", file, "--skip-test");
        Assert.That(changed.Answer, Does.Contain("~ destination hook").And.Contain("secret: *** -> ***").And.Contain("model.filter: none -> id > 3").And.Contain("Done: 2 changed."));
        Assert.That(changed.Out + changed.Error, Does.Not.Contain("whsec_"));

        // What is there, as a file; applied, it changes nothing.
        var got = (await _servers.Cli.RunAsync("export", "get", "-o", "yaml")).Answer;
        Assert.That(got, Does.Contain("secret_env: HOOK_SECRET").And.Not.Contain("whsec_"));
        Assert.That((await _servers.Cli.RunAsync(call with { StandardInput = got }, "apply", "-f", "-")).Answer, Does.Contain("Everything is so already."));

        await File.WriteAllTextAsync(file, $"destinations:\n  - {{name: lake, kind: files, root: {_servers.Root}}}\n");
        var pruned = JsonNode.Parse((await _servers.Cli.RunAsync("apply", "-f", file, "--prune", "--json")).Answer)!;
        Assert.That(
            pruned["steps"]!.AsArray().Select(step => $"{step!["action"]} {step["kind"]} {step["name"]}"), Is.EqualTo(["delete export events", "delete destination hook"]));
        Assert.That((await _servers.Cli.RunAsync("destination", "list", "--json")).Answer, Does.Contain("lake").And.Not.Contain("hook"));
    }

    [Test]
    public async Task A_file_that_is_wrong_changes_nothing()
    {
        var file = Path.Combine(_servers.Folder, "wrong.yaml");
        foreach (var (text, named) in new[]
        {
            ("destinations:\n  - {name: x, kind: files, root: /no/such/folder}", "/no/such/folder"),
            ("destinations:\n  - {name: x, kind: files, root: /tmp, colour: red}", "colour"),
            ("exports:\n  - {name: x, destination: nowhere, model: {table: t, cursor_column: c}, schedule: {every: 1h}}", "nowhere"),
            ("exports:\n  - {name: x, destination: nowhere, model: {table: t, cursor_column: c}, schedule: {every: 1s}}", "every"),
        })
        {
            await File.WriteAllTextAsync(file, text);
            var result = await _servers.Cli.RunAsync("apply", "-f", file);
            Assert.That((result.Status, result.Error.TrimEnd().Split('\n').Length), Is.EqualTo((2, 1)), result.Error);
            Assert.That(result.Error, Does.Contain(named));
        }

        Assert.That((await _servers.Cli.RunAsync("apply")).Error, Does.Contain("-f"));
        Assert.That(JsonNode.Parse((await _servers.Cli.RunAsync("apply", "--schema")).Answer)!["properties"]!["exports"], Is.Not.Null);
        Assert.That(await _servers.AskAsync("select name from exports.destinations where name = 'x'"), Is.Empty);
    }
}

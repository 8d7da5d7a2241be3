using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using Exporter.Exports.Cli;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Help is there for every command, and what it shows as an example can be typed.</summary>
internal sealed partial class HelpTests
{
    private static readonly string[] Help = ["--help", "-h", "-?"];

    private static IEnumerable<string> Commands() => Below(Exports.Cli.Program.Root(), []).Select(path => string.Join(' ', path));

    [TestCaseSource(nameof(Commands))]
    public async Task Help_ends_with_0_and_shows_the_examples(string path)
    {
        foreach (var flag in Help)
        {
            await using var output = new StringWriter();
            await using var error = new StringWriter();
            var parse = Exports.Cli.Program.Root().Parse([.. path.Split(' ', StringSplitOptions.RemoveEmptyEntries), flag]);
            var status = await parse.InvokeAsync(new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false });
            Assert.That((status, error.ToString()), Is.EqualTo((0, "")));
            Assert.That(output.ToString(), Does.Contain("Usage:"));
            if (parse.CommandResult.Command is CliCommand command)
            {
                Assert.That(command.Examples, Is.Not.Empty);
                Assert.That(output.ToString(), Does.Contain("Examples:"));
                Assert.That(command.Examples, Is.All.Matches<string>(example => output.ToString().Contains("  " + example, StringComparison.Ordinal)));
            }
        }
    }

    [TestCaseSource(nameof(Commands))]
    public void Every_example_can_be_typed(string path)
    {
        var words = path.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        foreach (var example in (Exports.Cli.Program.Root().Parse(words).CommandResult.Command as CliCommand)?.Examples ?? [])
        {
            var lines = Line().Matches(example);
            Assert.That(lines, Is.Not.Empty, example);
            foreach (var line in lines.Select(line => line.Groups["line"].Value.Replace("019ab3c4-...", Guid.Empty.ToString(), StringComparison.Ordinal)))
            {
                var parse = Exports.Cli.Program.Root().Parse([.. CommandLineParser.SplitCommandLine(line)]);
                Assert.That(parse.Errors.Select(problem => problem.Message), Is.Empty, line);
                Assert.That(parse.CommandResult.Command.Action, Is.Not.Null, $"{line}: it does something");
            }
        }
    }

    [Test]
    public async Task Help_of_the_program_lists_every_command_and_goes_to_standard_output()
    {
        var folder = Directory.CreateTempSubdirectory("exporter-help-");
        try
        {
            var result = await new ExporterCli(folder.FullName, new Dictionary<string, string?>()).RunAsync("--help");
            Assert.That((result.Status, result.Error), Is.EqualTo((0, "")));
            Assert.That(
                Exports.Cli.Program.Root().Subcommands.Where(command => !command.Hidden).Select(command => command.Name),
                Is.All.Matches<string>(name => result.Out.Contains($"  {name} ", StringComparison.Ordinal)));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static IEnumerable<IEnumerable<string>> Below(Command command, IEnumerable<string> path) =>
        command.Subcommands.SelectMany(child => Below(child, path.Append(child.Name))).Prepend(path);

    // A line of the shell holds the program once or more: after variables, in $( ), before a redirection or &&.
    [GeneratedRegex(@"(?<![A-Z_/@.])\bexporter (?<line>[^>&)]+)")]
    private static partial Regex Line();
}

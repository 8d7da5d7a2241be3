using System.CommandLine;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export get</c>: exports and their destinations as a file that <c>exporter apply</c> takes.</summary>
internal static class ExportGetCommand
{
    public static CliCommand Make()
    {
        var names = new Argument<string[]>("name") { Description = "Batch exports; all when none is named", Arity = ArgumentArity.ZeroOrMore };
        var form = new Option<string>("--output", "-o") { Description = "yaml or json", HelpName = "form", DefaultValueFactory = _ => "yaml" };
        return new CliCommand(
            "get",
            "Print exports and their destinations as a file for `exporter apply`; secrets become names of variables",
            "exporter export get events -o yaml > exports.yaml").With(names, form).Does(async (parse, session, cancellationToken) =>
            {
                var output = parse.GetValue(form) is "yaml" or "json" ? parse.GetValue(form)! : throw new UserErrorException("output", $"There is no form \"{parse.GetValue(form)}\".", "Use yaml or json.");
                var given = parse.GetValue(names) ?? [];
                var exports = new List<BatchExportView>();
                foreach (var name in given)
                {
                    exports.Add(await session.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false));
                }

                IReadOnlyList<BatchExportView> chosen = given.Length > 0 ? exports : await session.Exports.ListAsync(cancellationToken).ConfigureAwait(false);
                var used = chosen.Select(one => one.Destination).ToHashSet(StringComparer.Ordinal);
                var destinations = (await session.Destinations.ListAsync(cancellationToken).ConfigureAwait(false)).Where(one => given.Length == 0 || used.Contains(one.Name));
                var document = ConfigurationWriter.Write(destinations, chosen, references: true);
                session.Output.Line(session.Output.IsJson || output == "json" ? document.ToJsonString(ExportJson.Indented) : YamlText.Write(document).TrimEnd());
            });
    }
}

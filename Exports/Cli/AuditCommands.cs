using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter audit</c>.</summary>
internal static class AuditCommands
{
    public static Command All() => new CliCommand("audit", "Who changed what, when", "exporter audit list").With(List());

    private static CliCommand List()
    {
        var name = new Option<string>("--name") { Description = "Only of the batch export or destination of this name", HelpName = "name" };
        var actor = new Option<string>("--by") { Description = "Only by this one", HelpName = "name" };
        var since = Values.Time("--since", "Only from then on");
        var limit = new Option<int>("--limit") { Description = "At most so many", HelpName = "number", DefaultValueFactory = _ => 50 };
        return new CliCommand(
            "list", "List changes, the newest first, with what is another after each", "exporter audit list --name events", "exporter audit list --since 2026-03-01 --by ann")
            .With(name, actor, since, limit).Does(async (parse, session, cancellationToken) =>
            {
                ModelCheck.Range("limit", parse.GetValue(limit), 1, 100_000);
                var entries = await session.Audit.ListAsync(
                    new AuditFilter { Project = session.Settings.Project, Name = parse.GetValue(name), Actor = parse.GetValue(actor), Since = parse.GetValue(since), Limit = parse.GetValue(limit) },
                    cancellationToken).ConfigureAwait(false);
                session.Output.Answer(entries, output => output.Table(
                    ["WHEN", "WHO", "DID", "TO", "NAME", "CHANGED"],
                    entries.Select(one => (IReadOnlyList<string?>)
                        [Output.Text(one.At), one.Actor, one.Action, one.Kind, one.Name, string.Join("; ", one.Changes().Where(IsTelling).Select(Output.Text))]),
                    "Nothing was changed that this asks for."));
            });
    }

    // When it was changed stands beside it; when it runs next follows from the rest.
    private static bool IsTelling(FieldChange change) => change.Field is not ("updated_at" or "next_at" or "next_occurrence" or "deleted_at");
}

using System.CommandLine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter dead-letter</c>.</summary>
internal static class DeadLetterCommands
{
    private const string Example = "019ab3c4-...";

    public static Command All() => new CliCommand(
        "dead-letter", "Messages that a webhook refused for good, kept aside", "exporter dead-letter list").With(List(), Resend(), Delete());

    private static CliCommand List()
    {
        var export = new Option<string>("--export") { Description = "Only of this batch export", HelpName = "name" };
        var run = new Option<Guid?>("--run") { Description = "Only of this run", HelpName = "id" };
        var all = new Option<bool>("--all") { Description = "Also those that were sent again" };
        var limit = new Option<int>("--limit") { Description = "At most so many, from 1 to 10000", HelpName = "number", DefaultValueFactory = _ => 100 };
        return new CliCommand("list", "List dead letters with the reason, the oldest first", "exporter dead-letter list", "exporter dead-letter list --export events --json")
            .With(export, run, all, limit).Does(async (parse, session, cancellationToken) =>
            {
                ModelCheck.Range("limit", parse.GetValue(limit), 1, 10_000);
                var letters = await session.Deliveries.ListAsync(
                    new DeadLetterFilter { Project = session.Settings.Project, BatchExport = parse.GetValue(export), RunId = parse.GetValue(run), All = parse.GetValue(all), Limit = parse.GetValue(limit) },
                    cancellationToken).ConfigureAwait(false);
                session.Output.Answer(letters, output => output.Table(
                    ["ID", "EXPORT", "SLICE", "MESSAGE", "ROWS", "STATE", "REASON", "CREATED"],
                    letters.Select(one => (IReadOnlyList<string?>)
                        [
                            one.DeadLetterId.ToString(), one.BatchExport, Output.Text(one.Slice), Output.Text(one.Number), Output.Text(one.Rows), one.State,
                            one.Reason, Output.Text(one.CreatedAt),
                        ]),
                    "There are no dead letters."));
            });
    }

    private static CliCommand Resend()
    {
        var ids = new Argument<Guid[]>("id") { Description = "Dead letters", Arity = ArgumentArity.ZeroOrMore };
        var export = new Option<string>("--export") { Description = "All pending ones of this batch export", HelpName = "name" };
        return new CliCommand(
            "resend", "Send dead letters again, under the ids that they had", $"exporter dead-letter resend {Example}", "exporter dead-letter resend --export events")
            .With(ids, export).Does(async (parse, session, cancellationToken) =>
            {
                var (given, name) = (parse.GetValue(ids) ?? [], parse.GetValue(export));
                if (given.Length == 0 == name is null)
                {
                    throw new UserErrorException("id", given.Length == 0 ? "No dead letter is named." : "Ids and --export are both given.", "Give ids, or --export.");
                }

                var sent = 0;
                if (name is null)
                {
                    foreach (var id in given)
                    {
                        sent += await session.Deliveries.ResendAsync(id, cancellationToken).ConfigureAwait(false)
                            ? 1
                            : throw new UserErrorException("id", $"There is no pending dead letter {id}.", "See `exporter dead-letter list --all`.");
                    }
                }
                else
                {
                    await session.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
                    sent = await session.Deliveries.ResendAllAsync(session.Settings.Project, name, cancellationToken).ConfigureAwait(false);
                }

                session.Output.Answer(new { Resent = sent }, output => output.Line($"Sent {sent:N0} again."));
            });
    }

    private static CliCommand Delete()
    {
        var id = new Argument<Guid>("id") { Description = "The dead letter" };
        return new CliCommand("delete", "Throw a dead letter away; its rows will not be delivered", $"exporter dead-letter delete {Example}").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(id);
            if (!await session.Deliveries.DeleteAsync(given, cancellationToken).ConfigureAwait(false))
            {
                throw new UserErrorException("id", $"There is no dead letter {given}.", "See `exporter dead-letter list --all`.");
            }

            session.Output.Answer(new { Deleted = given }, output => output.Line($"Deleted dead letter {given}."));
        });
    }
}

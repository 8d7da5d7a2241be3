using System.CommandLine;
using System.Text.Json;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Spectre.Console;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export unpause</c>: what the pause has left out is exported too, or stays a gap; in a terminal it is asked.</summary>
internal static class ExportUnpauseCommand
{
    public static CliCommand Make()
    {
        var name = ExportCommands.Name();
        var catchUp = new Option<bool>("--catch-up") { Description = "Export what was left out meanwhile, with a backfill" };
        var leave = new Option<bool>("--no-catch-up") { Description = "Leave it a gap. Default where nobody can be asked" };
        return new CliCommand(
            "unpause",
            "Let the schedule go on with its next occurrence",
            "exporter export unpause events --catch-up",
            "exporter export unpause events --no-catch-up").With(name, catchUp, leave).Does(async (parse, session, cancellationToken) =>
            {
                if (parse.GetValue(catchUp) && parse.GetValue(leave))
                {
                    throw new UserErrorException("catch_up", "Both --catch-up and --no-catch-up are given.", "Give one of them.");
                }

                var given = parse.GetRequiredValue(name);
                var missed = await session.ExportControl.MissedAsync(given, cancellationToken).ConfigureAwait(false);
                var (export, backfill) = await session.ExportControl.UnpauseAsync(
                    given, parse.GetValue(catchUp) || (!parse.GetValue(leave) && missed is not null && IsWanted(session.Output, missed)), session.Actor, cancellationToken).ConfigureAwait(false);
                if (missed is not null && backfill is null)
                {
                    session.Output.Remark($"{missed} was left out. To export it: exporter backfill create {given} --start {Exact(missed.Start)} --end {Exact(missed.End)}");
                }

                var answer = JsonSerializer.SerializeToNode(export, ExportJson.Options)!.AsObject();
                answer["catch_up_backfill_id"] = backfill?.BackfillId.ToString();
                session.Output.Answer(answer, output => output.Line(
                    $"{export.Name} goes on; its next run starts at {Output.Text(export.NextAt)} UTC."
                    + (backfill is null ? "" : $" Backfill {backfill.BackfillId} exports the {backfill.Intervals:N0} intervals that were left out.")));
            });
    }

    private static string Exact(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);

    private static bool IsWanted(Output output, DataInterval missed) =>
        DestinationPrompts.CanAsk(output) && output.Progress.Prompt(new ConfirmationPrompt($"{missed} was left out meanwhile. Export it too?") { DefaultValue = false });
}

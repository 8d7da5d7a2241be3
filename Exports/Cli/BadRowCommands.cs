using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter run bad-rows</c> and <c>exporter run resend</c>: rows that a destination could not hold.</summary>
internal static class BadRowCommands
{
    public static CliCommand List()
    {
        var id = Values.Id("run");
        var rows = new Option<bool>("--rows") { Description = "With the rows themselves, decrypted" };
        var limit = new Option<int>("--limit") { Description = "At most so many", HelpName = "number", DefaultValueFactory = _ => 50 };
        return new CliCommand(
            "bad-rows",
            "List the rows of a run that its destination could not hold and that were put aside",
            "exporter run bad-rows 019ab3c4-...",
            "exporter run bad-rows 019ab3c4-... --rows --json").With(id, rows, limit).Does(async (parse, session, cancellationToken) =>
            {
                var run = await session.Runs.GetAsync(parse.GetRequiredValue(id), cancellationToken).ConfigureAwait(false);
                ModelCheck.Range("limit", parse.GetValue(limit), 1, 100_000);
                var bad = await session.Runs.BadRowsAsync(run.RunId, parse.GetValue(limit), cancellationToken).ConfigureAwait(false);
                if (!parse.GetValue(rows))
                {
                    session.Output.Answer(bad, output => Print(output, run, bad));
                    return;
                }

                var contents = await session.Quarantine.RowsAsync(run.RunId, parse.GetValue(limit), cancellationToken).ConfigureAwait(false);
                session.Output.Answer(bad.Zip(contents, (row, content) => new { BadRow = row, Row = content }), output =>
                {
                    foreach (var (row, content) in bad.Zip(contents))
                    {
                        output.Line($"{row.Slice}/{row.Number} {row.ColumnName}: {row.Reason} {content.ToJsonString(ExportJson.Options)}");
                    }

                    PrintRest(output, run, bad.Count);
                });
            });
    }

    public static CliCommand Resend()
    {
        var id = Values.Id("run");
        var wait = VerifyCommands.WaitOption();
        return new CliCommand(
            "resend",
            "Export again the slices of a run that have rows which were put aside, after these were mended at the source or the destination",
            "exporter run resend 019ab3c4-... --wait").With(id, wait).Does((parse, session, cancellationToken) => VerifyCommands.StartAsync(
                session, parse.GetRequiredValue(id), VerificationKind.Resend, parse.GetValue(wait), cancellationToken));
    }

    private static void Print(Output output, RunView run, IReadOnlyList<BadRowView> bad)
    {
        output.Table(
            ["SLICE", "ROW", "COLUMN", "REASON", "KEY HASH", "PUT ASIDE"],
            bad.Select(row => (IReadOnlyList<string?>)
                [Output.Text(row.Slice), Output.Text(row.Number), row.ColumnName, row.Reason, row.KeyHash, Output.Text(row.QuarantinedAt)]),
            "No rows were put aside.");
        PrintRest(output, run, bad.Count);
    }

    private static void PrintRest(Output output, RunView run, int shown)
    {
        if (shown < run.QuarantinedRows)
        {
            output.Line($"{run.QuarantinedRows - shown:N0} more; see --limit.");
        }
    }
}

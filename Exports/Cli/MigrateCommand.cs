using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter migrate</c>: what comes before everything else.</summary>
internal static class MigrateCommand
{
    public static Command Migrate() => new CliCommand(
        "migrate",
        "Bring the database's schemas engine and exports to this version; safe to repeat, and from several machines at once",
        "EXPORTER_POSTGRES=postgresql://exporter:secret@localhost/exporter exporter migrate",
        "exporter migrate --json").Does(async (_, session, cancellationToken) =>
        {
            // Asked for here already: what is written without a key stays readable for who sees the tables.
            session.Settings.RequiredKeys();
            var applied = await ExportSchema.MigrateAsync(session.Settings.Postgres, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Applied = applied }, output =>
            {
                foreach (var script in applied)
                {
                    output.Line($"applied {script}");
                }

                output.Line(applied.Count == 0 ? "The database is up to date." : "The database is now up to date.");
            });
        });
}

using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export create</c>: many options, and the source is asked whether they are right before anything is written.</summary>
internal sealed class ExportCreateCommand
{
    private readonly Argument<string> _name = ExportCommands.Name();
    private readonly Option<string> _destination = new("--destination") { Description = "Where the rows go", HelpName = "name", Required = true };
    private readonly ModelOptions _model = new();
    private readonly ScheduleOptions _schedule = new();
    private readonly FormatFlags _format = new();
    private readonly RunOptions _settings = new();
    private readonly Option<bool> _paused = new("--paused") { Description = "Do not start the schedule" };
    private readonly Option<bool> _unchecked = new("--skip-check") { Description = "Create it even if the source cannot be asked now" };

    public Command Command => new CliCommand(
        "create",
        "Create a batch export, after asking the source whether table and columns are there",
        "exporter export create events --destination lake --table events --cursor-column timestamp --every 1h",
        "exporter export create events --destination lake --preset events --include team_id=2 --every hour",
        "exporter export create signups --destination lake --table events --cursor-column timestamp --include event=signup"
        + " --where-property \"properties.plan in pro, team\" --exclude country=XX --every day --time-zone Europe/Berlin",
        "exporter export create orders --destination lake --query-file orders.sql --cursor-column placed_at --key order_id --every 15m",
        "exporter export create events --destination lake --table events --cursor-column timestamp --key uuid --version-column _version"
        + " --dedup limit_by --cron \"0 6 * * *\" --time-zone Europe/Berlin --format json_lines").With([
        _name, _destination, .. _model.All, .. _schedule.All,
        .. _format.Options, .. _settings.All, _paused, _unchecked]).Does(CreateAsync);

    private async Task CreateAsync(ParseResult parse, Session session, CancellationToken cancellationToken)
    {
        var export = Read(parse).Validate();
        // The destination first: its name needs no server.
        await session.Destinations.GetAsync(parse.GetRequiredValue(_destination), cancellationToken).ConfigureAwait(false);
        if (!parse.GetValue(_unchecked))
        {
            using var source = session.OpenSource();
            await source.DescribeAsync(export.Model, cancellationToken).ConfigureAwait(false);
        }

        var created = await session.Exports.CreateAsync(
            export, parse.GetRequiredValue(_destination), session.Actor, cancellationToken).ConfigureAwait(false);
        session.Output.Answer(created, output => output.Line(
            $"Created batch export {created.Name}" + (created.Paused ? ", paused." : $"; its first run starts at {Output.Text(created.NextAt)} UTC.")));
    }

    private BatchExport Read(ParseResult parse)
    {
        return new BatchExport
        {
            Name = parse.GetRequiredValue(_name),
            DestinationId = Guid.Empty,
            Model = _model.Read(parse),
            Format = _format.Read(parse),
            Schedule = _schedule.Read(parse),
            Settings = _settings.Change(parse, new ExportSettings()),
            Paused = parse.GetValue(_paused),
            Note = parse.GetValue(_paused) ? "created paused" : null,
        };
    }
}

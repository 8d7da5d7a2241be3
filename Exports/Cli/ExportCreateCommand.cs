using System.CommandLine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export create</c>: many options, and the source is asked whether they are right before anything is written.</summary>
internal sealed class ExportCreateCommand
{
    private readonly Argument<string> _name = ExportCommands.Name();
    private readonly Option<string> _destination = new("--destination") { Description = "Where the rows go", HelpName = "name", Required = true };
    private readonly Option<string> _table = new("--table") { Description = "The table, with its database or without", HelpName = "table", Required = true };
    private readonly Option<string> _cursor = new("--cursor-column")
    {
        Description = "The Date, DateTime or DateTime64 column that data intervals are ranges of", HelpName = "column", Required = true,
    };

    private readonly Option<string[]> _key = new("--key")
    {
        Description = "A column of the key, which tells rows apart; again for each", HelpName = "column",
    };

    private readonly Option<string> _version = new("--version-column") { Description = "Among rows of one key the highest value of it wins", HelpName = "column" };
    private readonly Option<Dedup?> _dedup = Values.Word<Dedup>("--dedup", "How rows of one key become one. Default none");
    private readonly Option<string> _filter = new("--filter") { Description = "Only rows for which this ClickHouse expression is true", HelpName = "sql" };
    private readonly Option<string[]> _columns = new("--column")
    {
        Description = "A column, or an expression AS its name; again for each, in their order. Default all columns", HelpName = "sql",
    };

    private readonly Option<TimeSpan?> _every = Values.Time("--every", "A data interval's length: 5m, 15m, 1h, 1d, 1w; from 1m to 52w", "duration");
    private readonly Option<string> _cron = new("--cron") { Description = "Or: a cron expression; each occurrence ends a data interval", HelpName = "expression" };
    private readonly Option<string> _zone = new("--time-zone") { Description = "The zone of --cron. Default UTC", HelpName = "name" };
    private readonly Option<TimeSpan?> _offset = Values.Time("--offset", "Moves the boundaries of --every. Default 0s", "duration");
    private readonly Option<TimeSpan?> _settle = Values.Time("--settle-delay", "How long after an interval's end its run starts. Default 1m", "duration");
    private readonly Option<TimeSpan?> _jitter = Values.Time("--jitter", "The start is later by up to this. Default 15m from 1h on, 20m from 1d on, 30m from 1w on", "duration");
    private readonly FormatFlags _format = new();
    private readonly Option<int?> _parallel = new("--parallel-slices") { Description = "Slices of a run at once. Default 4; from 1 to 64", HelpName = "number" };
    private readonly Option<long?> _sliceBytes = Values.Bytes("--slice-size", "About how large a slice is in the source. Default 64MiB; from 1KiB to 16GiB");
    private readonly Option<long?> _fileBytes = Values.Bytes("--max-file-size", "The most bytes of a file. Default none; from 1KiB to 1024GiB");
    private readonly Option<TimeSpan?> _sliceTime = Values.Time("--max-slice-time", "How long an attempt of a slice may take before it is split in two. Default 30m; from 1s to 1d", "duration");
    private readonly Option<BadRowPolicy?> _badRows = Values.Word<BadRowPolicy>("--bad-rows", "What becomes of a row with a value that the destination cannot hold. Default fail");
    private readonly Option<int?> _mostBadRows = new("--max-bad-rows") { Description = "Rows of one slice that may be put aside before the run fails. Default 1,000; from 1 to 100,000", HelpName = "rows" };
    private readonly Option<TimeSpan?> _verifyAfter = Values.Time("--verify-after", "How long after its end a run is compared with the source again, and what changed exported again. Default 0s, never; to 30d", "duration");
    private readonly Option<bool> _paused = new("--paused") { Description = "Do not start the schedule" };
    private readonly Option<bool> _unchecked = new("--skip-check") { Description = "Create it even if the source cannot be asked now" };

    public Command Command => new CliCommand(
        "create",
        "Create a batch export, after asking the source whether table and columns are there",
        "exporter export create events --destination lake --table events --cursor-column timestamp --every 1h",
        "exporter export create events --destination lake --table events --cursor-column timestamp --key uuid --version-column _version"
        + " --dedup limit_by --cron \"0 6 * * *\" --time-zone Europe/Berlin --format json_lines").With([
        _name, _destination, _table, _cursor, _key, _version, _dedup, _filter, _columns, _every, _cron, _zone, _offset, _settle, _jitter,
        .. _format.Options, _parallel, _sliceBytes, _fileBytes, _sliceTime, _badRows, _mostBadRows, _verifyAfter, _paused, _unchecked]).Does(CreateAsync);

    private static SourceColumn Column(string text)
    {
        var at = text.LastIndexOf(" as ", StringComparison.OrdinalIgnoreCase);
        if (at >= 0)
        {
            return new SourceColumn(text[..at].Trim(), text[(at + 4)..].Trim().Trim('`', '"'));
        }

        return text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '_') ? new SourceColumn(text, text) : throw new UserErrorException(
            "columns", $"The expression \"{text}\" has no name.", "Write \"expression AS name\".");
    }

    private async Task CreateAsync(ParseResult parse, Session session, CancellationToken cancellationToken)
    {
        var export = Read(parse).Validate();
        // The destination first: its name needs no server.
        await session.Destinations.GetAsync(parse.GetRequiredValue(_destination), cancellationToken).ConfigureAwait(false);
        if (!parse.GetValue(_unchecked))
        {
            using var source = new ClickHouseSource(
                new ClickHouseOptions { ConnectionString = session.Settings.ClickHouse }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
            await source.DescribeAsync(export.Model, cancellationToken).ConfigureAwait(false);
        }

        var created = await session.Exports.CreateAsync(
            export, parse.GetRequiredValue(_destination), session.Actor, cancellationToken).ConfigureAwait(false);
        session.Output.Answer(created, output => output.Line(
            $"Created batch export {created.Name}" + (created.Paused ? ", paused." : $"; its first run starts at {Output.Text(created.NextAt)} UTC.")));
    }

    private BatchExport Read(ParseResult parse)
    {
        var settings = new ExportSettings();
        var schedule = new ExportSchedule();
        return new BatchExport
        {
            Name = parse.GetRequiredValue(_name),
            DestinationId = Guid.Empty,
            Model = new SourceModel
            {
                Table = parse.GetRequiredValue(_table),
                CursorColumn = parse.GetRequiredValue(_cursor),
                KeyColumns = parse.GetValue(_key) ?? [],
                VersionColumn = parse.GetValue(_version),
                Dedup = parse.GetValue(_dedup) ?? Dedup.None,
                Filter = parse.GetValue(_filter),
                Columns = [.. (parse.GetValue(_columns) ?? []).Select(Column)],
            },
            Format = _format.Read(parse),
            Schedule = schedule with
            {
                Every = parse.GetValue(_every),
                Cron = parse.GetValue(_cron),
                TimeZone = parse.GetValue(_zone) ?? schedule.TimeZone,
                Offset = parse.GetValue(_offset) ?? schedule.Offset,
                SettleDelay = parse.GetValue(_settle) ?? schedule.SettleDelay,
                Jitter = parse.GetValue(_jitter),
            },
            Settings = settings with
            {
                ParallelSlices = parse.GetValue(_parallel) ?? settings.ParallelSlices,
                TargetSliceBytes = parse.GetValue(_sliceBytes) ?? settings.TargetSliceBytes,
                MaxFileBytes = parse.GetValue(_fileBytes),
                MaxSliceTime = parse.GetValue(_sliceTime) ?? settings.MaxSliceTime,
                BadRows = parse.GetValue(_badRows) ?? settings.BadRows,
                MaxBadRows = parse.GetValue(_mostBadRows) ?? settings.MaxBadRows,
                VerifyAfter = parse.GetValue(_verifyAfter) ?? settings.VerifyAfter,
            },
            Paused = parse.GetValue(_paused),
            Note = parse.GetValue(_paused) ? "created paused" : null,
        };
    }
}

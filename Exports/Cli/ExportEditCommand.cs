using System.CommandLine;
using System.Text.Json;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export edit</c>: what is given takes the place of what the export has; what would change is shown first.</summary>
internal sealed class ExportEditCommand
{
    private static readonly IReadOnlyDictionary<string, Func<BatchExport, BatchExport>> Unsets = new Dictionary<string, Func<BatchExport, BatchExport>>(StringComparer.Ordinal)
    {
        ["columns"] = one => one with { Model = one.Model with { Columns = [] } },
        ["key"] = one => one with { Model = one.Model with { KeyColumns = [] } },
        ["version_column"] = one => one with { Model = one.Model with { VersionColumn = null } },
        ["deleted_column"] = one => one with { Model = one.Model with { DeletedColumn = null } },
        ["include"] = one => one with { Model = one.Model with { Include = [] } },
        ["exclude"] = one => one with { Model = one.Model with { Exclude = [] } },
        ["where"] = one => one with { Model = one.Model with { Where = [] } },
        ["filter"] = one => one with { Model = one.Model with { Filter = null } },
        ["compression_level"] = one => one with { Format = one.Format with { CompressionLevel = null } },
        ["max_file_size"] = one => one with { Settings = one.Settings with { MaxFileBytes = null } },
        ["late_after"] = one => one with { Settings = one.Settings with { LateAfter = null } },
        ["pause_after_failures"] = one => one with { Settings = one.Settings with { PauseAfterFailures = null } },
        ["max_rows_per_day"] = one => one with { Settings = one.Settings with { MaxRowsPerDay = null } },
        ["max_bytes_per_day"] = one => one with { Settings = one.Settings with { MaxBytesPerDay = null } },
    };

    private readonly Argument<string> _name = ExportCommands.Name();
    private readonly ModelOptions _model = new();
    private readonly FormatFlags _format = new();
    private readonly RunOptions _settings = new();
    private readonly Option<string[]> _unset = new("--unset") { Description = $"Takes away what the export has, again for each: {string.Join(", ", Unsets.Keys)}", HelpName = "setting" };
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Only say what would change" };
    private readonly Option<bool> _unchecked = new("--skip-check") { Description = "Change it even if the source cannot be asked now" };

    public Command Command => new CliCommand(
        "edit",
        "Change what leaves the source, how it is written and how runs work; the next run has it. Lists that are given take the place of the old ones. "
        + "When it runs is changed with `reschedule`",
        "exporter export edit events --where-property \"properties.plan in pro, team\" --dry-run",
        "exporter export edit events --format json_lines --compression gzip",
        "exporter export edit events --unset filter --parallel-slices 8").With([
        _name, .. _model.OfChange, .. _format.Options, .. _settings.All, _unset, _dryRun, _unchecked]).Does(EditAsync);

    private async Task EditAsync(ParseResult parse, Session session, CancellationToken cancellationToken)
    {
        var unset = parse.GetValue(_unset) ?? [];
        if (unset.FirstOrDefault(name => !Unsets.ContainsKey(name)) is { } unknown)
        {
            throw new UserErrorException("unset", $"There is nothing named \"{unknown}\" that can be taken away.", $"Use {string.Join(", ", Unsets.Keys)}.");
        }

        var before = await session.Exports.GetAsync(parse.GetRequiredValue(_name), cancellationToken).ConfigureAwait(false);
        var bare = unset.Aggregate(before.ToBatchExport(), (one, name) => Unsets[name](one));
        var edited = (bare with
        {
            Model = _model.Change(parse, bare.Model),
            Format = _format.Change(parse, bare.Format),
            Settings = _settings.Change(parse, bare.Settings),
        }).Validate();
        var changes = FieldChange.Between(
            JsonSerializer.SerializeToNode(before, ExportJson.Options),
            JsonSerializer.SerializeToNode(before with { Model = edited.Model, Format = edited.Format, Settings = edited.Settings }, ExportJson.Options));
        if (changes.Count == 0)
        {
            session.Output.Answer(new { BatchExport = before, Changes = changes, Changed = false }, output => output.Line($"{before.Name} is so already; nothing was changed."));
            return;
        }

        if (!parse.GetValue(_unchecked))
        {
            using var source = session.OpenSource();
            await source.DescribeAsync(edited.Model, cancellationToken).ConfigureAwait(false);
        }

        var dry = parse.GetValue(_dryRun);
        var after = dry ? before : await session.Exports.EditAsync(
            before.Name,
            new BatchExportEdit { Model = edited.Model, Format = edited.Format, Settings = edited.Settings, UnchangedSince = before.UpdatedAt },
            session.Actor,
            cancellationToken).ConfigureAwait(false);
        session.Output.Answer(new { BatchExport = after, Changes = changes, Changed = !dry }, output =>
        {
            output.Changes(changes);
            output.Line(dry ? "Nothing was changed; leave --dry-run out to do it." : $"Changed {after.Name}; its next run has it.");
        });
    }
}

using System.CommandLine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>The options that say what leaves the source.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string> _preset = new("--preset")
    {
        Description = $"Begin with the model of a PostHog table, which the other options change: {string.Join(", ", ModelPresets.Names)}", HelpName = "name",
    };

    private readonly Option<string> _table = new("--table") { Description = "The table, with its database or without", HelpName = "table" };
    private readonly Option<string> _query = new("--query")
    {
        Description = "Or: a SELECT, in which {interval_start:DateTime64(6)} and {interval_end:DateTime64(6)} are the interval's bounds", HelpName = "sql",
    };

    private readonly Option<string> _queryFile = new("--query-file") { Description = "Or: the file with that SELECT", HelpName = "file" };
    private readonly Option<string> _cursor = new("--cursor-column")
    {
        Description = "The Date, DateTime or DateTime64 column that data intervals are ranges of", HelpName = "column",
    };

    private readonly Option<string[]> _key = new("--key") { Description = "A column of the key, which tells rows apart; again for each", HelpName = "column" };
    private readonly Option<string> _version = new("--version-column") { Description = "Among rows of one key the highest value of it wins", HelpName = "column" };
    private readonly Option<Dedup?> _dedup = Values.Word<Dedup>("--dedup", "How rows of one key become one. Default none");
    private readonly Option<string> _deletedColumn = new("--deleted-column") { Description = "A row where it is not 0 says that its key was deleted", HelpName = "column" };
    private readonly Option<DeletedRows?> _deleted = Values.Word<DeletedRows>("--deleted", "What becomes of such rows. Default leave_out");
    private readonly Option<string[]> _include = new("--include") { Description = "Only rows with this value in the column; again for further values and columns", HelpName = "column=value" };
    private readonly Option<string[]> _exclude = new("--exclude") { Description = "Only rows without this value in the column; again for further ones", HelpName = "column=value" };
    private readonly Option<string[]> _where = new("--where-property")
    {
        Description = "Only rows for which this is true of a property in a JSON column; again for each. "
            + $"Operators: {string.Join(", ", ExportJson.Words<PropertyOperator>())}",
        HelpName = "condition",
    };

    private readonly Option<string> _filterFile = new("--filter-file")
    {
        Description = "A YAML or JSON file with include, exclude, where and filter, which come before those of the command line", HelpName = "file",
    };

    private readonly Option<string> _filter = new("--filter") { Description = "Only rows for which this ClickHouse expression is true", HelpName = "sql" };
    private readonly Option<string[]> _columns = new("--column")
    {
        Description = "A column, or an expression AS its name; again for each, in their order. Default all columns", HelpName = "sql",
    };

    /// <summary>In the order of the help.</summary>
    public IReadOnlyList<Symbol> All =>
    [
        _preset, _table, _query, _queryFile, _cursor, _columns, _key, _version, _dedup, _deletedColumn, _deleted, _include, _exclude, _where, _filter,
        _filterFile,
    ];

    public SourceModel Read(ParseResult parse)
    {
        var preset = parse.GetValue(_preset) is { } name ? ModelPresets.Find(name) : null;
        var (table, query) = Source(parse, preset);
        var file = parse.GetValue(_filterFile) is { } path ? FilterFile.Read(path) : new FilterFile();
        var filter = parse.GetValue(_filter);
        if (file.Filter is not null && filter is not null)
        {
            throw new UserErrorException("filter", "Both --filter and the filter file have a filter.", "Put the whole of it into one of them.");
        }

        return new SourceModel
        {
            Table = table,
            Query = query,
            CursorColumn = parse.GetValue(_cursor) ?? preset?.CursorColumn ?? throw new UserErrorException(
                "cursor_column", "Nothing says which column data intervals are ranges of.", "Give --cursor-column."),
            KeyColumns = Given(parse.GetValue(_key)) ?? preset?.KeyColumns ?? [],
            VersionColumn = parse.GetValue(_version) ?? preset?.VersionColumn,
            Dedup = parse.GetValue(_dedup) ?? preset?.Dedup ?? Dedup.None,
            DeletedColumn = parse.GetValue(_deletedColumn) ?? preset?.DeletedColumn,
            Deleted = parse.GetValue(_deleted) ?? preset?.Deleted ?? DeletedRows.LeaveOut,
            Include = [.. file.IncludeValues, .. ConditionText.Values("include", parse.GetValue(_include) ?? [])],
            Exclude = [.. file.ExcludeValues, .. ConditionText.Values("exclude", parse.GetValue(_exclude) ?? [])],
            Where = [.. file.Conditions, .. (parse.GetValue(_where) ?? []).Select(ConditionText.Condition)],
            Filter = filter ?? file.Filter,
            Columns = [.. (Given(parse.GetValue(_columns)) ?? []).Select(Column)],
        };
    }

    private (string? Table, string? Query) Source(ParseResult parse, SourceModel? preset)
    {
        var (table, query, file) = (parse.GetValue(_table), parse.GetValue(_query), parse.GetValue(_queryFile));
        return (table, query, file, preset) switch
        {
            ({ }, null, null, null) => (table, null),
            (null, { }, null, null) => (null, query),
            (null, null, { }, null) => (null, FilterFile.Text("query", file)),
            (null, null, null, { }) => (preset.Table, preset.Query),
            (null, null, null, null) => throw new UserErrorException(
                "table", "Nothing says what is exported.", "Give --table, --query, --query-file or --preset."),
            _ => throw new UserErrorException("table", "More than one of table, query, query file and preset is given.", "Give one of them."),
        };
    }

    private static IReadOnlyList<string>? Given(string[]? values) => values is { Length: > 0 } ? values : null;

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
}

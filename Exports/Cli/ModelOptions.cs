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

    /// <summary>Without the preset, which is only where a model begins.</summary>
    public IReadOnlyList<Symbol> OfChange => [.. All.Where(option => option != _preset)];

    public SourceModel Read(ParseResult parse)
    {
        var preset = parse.GetValue(_preset) is { } name ? ModelPresets.Find(name) : null;
        return Sources(parse) > 0 && preset is not null
            ? throw new UserErrorException("table", "More than one of table, query, query file and preset is given.", "Give one of them.")
            : Over(parse, preset);
    }

    /// <summary>A model with what is given in place of what it has; a list takes the place of the whole list.</summary>
    public SourceModel Change(ParseResult parse, SourceModel model) => Over(parse, model);

    private SourceModel Over(ParseResult parse, SourceModel? basis)
    {
        var (table, query) = Source(parse, basis);
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
            CursorColumn = parse.GetValue(_cursor) ?? basis?.CursorColumn ?? throw new UserErrorException(
                "cursor_column", "Nothing says which column data intervals are ranges of.", "Give --cursor-column."),
            KeyColumns = Given(parse.GetValue(_key)) ?? basis?.KeyColumns ?? [],
            VersionColumn = parse.GetValue(_version) ?? basis?.VersionColumn,
            Dedup = parse.GetValue(_dedup) ?? basis?.Dedup ?? Dedup.None,
            DeletedColumn = parse.GetValue(_deletedColumn) ?? basis?.DeletedColumn,
            Deleted = parse.GetValue(_deleted) ?? basis?.Deleted ?? DeletedRows.LeaveOut,
            Include = Given<ColumnValues>([.. file.IncludeValues, .. ConditionText.Values("include", parse.GetValue(_include) ?? [])]) ?? basis?.Include ?? [],
            Exclude = Given<ColumnValues>([.. file.ExcludeValues, .. ConditionText.Values("exclude", parse.GetValue(_exclude) ?? [])]) ?? basis?.Exclude ?? [],
            Where = Given<PropertyCondition>([.. file.Conditions, .. (parse.GetValue(_where) ?? []).Select(ConditionText.Condition)]) ?? basis?.Where ?? [],
            Filter = filter ?? file.Filter ?? basis?.Filter,
            Columns = Given<SourceColumn>([.. (parse.GetValue(_columns) ?? []).Select(Column)]) ?? basis?.Columns ?? [],
        };
    }

    private int Sources(ParseResult parse) => new[] { parse.GetValue(_table), parse.GetValue(_query), parse.GetValue(_queryFile) }.Count(given => given is not null);

    private (string? Table, string? Query) Source(ParseResult parse, SourceModel? basis)
    {
        var (table, query, file) = (parse.GetValue(_table), parse.GetValue(_query), parse.GetValue(_queryFile));
        return Sources(parse) switch
        {
            0 when basis is not null => (basis.Table, basis.Query),
            0 => throw new UserErrorException("table", "Nothing says what is exported.", "Give --table, --query, --query-file or --preset."),
            1 => (table, file is null ? query : FilterFile.Text("query", file)),
            _ => throw new UserErrorException("table", "More than one of table, query, query file and preset is given.", "Give one of them."),
        };
    }

    private static T[]? Given<T>(T[]? values) => values is { Length: > 0 } ? values : null;

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

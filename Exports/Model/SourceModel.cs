using System.Text.Json.Serialization;

namespace Exporter.Exports.Model;

/// <summary>What leaves the source: a table or an own query, its columns in order, its rows, and how they are told apart.</summary>
public sealed record SourceModel
{
    /// <summary>The table, with its database or without (then the connection's). Either this or <see cref="Query"/>.</summary>
    public string? Table { get; init; }

    /// <summary>
    /// A SELECT of one's own, which is used as a table is. In it, <c>{interval_start:DateTime64(6)}</c> and
    /// <c>{interval_end:DateTime64(6)}</c> are the bounds of the run's data interval, the same for each of its slices; the rows of a
    /// slice are taken from its answer by the cursor column. Either this or <see cref="Table"/>.
    /// </summary>
    public string? Query { get; init; }

    /// <summary>The columns in their order; empty means all of the table, in its order.</summary>
    public IReadOnlyList<SourceColumn> Columns { get; init; } = [];

    /// <summary>A Date, DateTime or DateTime64 column that data intervals are ranges of.</summary>
    public required string CursorColumn { get; init; }

    /// <summary>The columns that together identify a row. Needed for every dedup but none, and to cut a slice by hash.</summary>
    public IReadOnlyList<string> KeyColumns { get; init; } = [];

    /// <summary>Among rows of one key, the highest value wins. Default: any.</summary>
    public string? VersionColumn { get; init; }

    /// <summary>How rows of one key become one. Default <see cref="Dedup.None"/>.</summary>
    public Dedup Dedup { get; init; }

    /// <summary>A column of numbers or booleans: a row where it is not 0 says that its key was deleted. Default none.</summary>
    public string? DeletedColumn { get; init; }

    /// <summary>What becomes of a row that <see cref="DeletedColumn"/> flags. Default it is left out, after dedup.</summary>
    public DeletedRows Deleted { get; init; }

    /// <summary>Only rows whose column has one of the values; of several columns, all. Default all rows.</summary>
    public IReadOnlyList<ColumnValues> Include { get; init; } = [];

    /// <summary>Only rows whose column has none of the values; a row whose column is NULL stays. Default all rows.</summary>
    public IReadOnlyList<ColumnValues> Exclude { get; init; } = [];

    /// <summary>Only rows for which all of these are true. Default all rows.</summary>
    public IReadOnlyList<PropertyCondition> Where { get; init; } = [];

    /// <summary>A SQL predicate over the table's columns, in ClickHouse's dialect. Default none.</summary>
    public string? Filter { get; init; }

    /// <summary>The data interval of the run that this is the model of: what <see cref="Query"/>'s parameters are.</summary>
    [JsonInclude]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    internal DataInterval? Interval { get; init; }

    /// <summary>What stands in a list where a table's name would.</summary>
    [JsonIgnore]
    internal string SourceName => Table ?? "(query)";
}

/// <summary>A column of an export.</summary>
/// <param name="Expression">An expression over the table's columns, in ClickHouse's dialect.</param>
/// <param name="Alias">The column's name in the destination.</param>
public sealed record SourceColumn(string Expression, string Alias);

/// <summary>A column and some of its values.</summary>
/// <param name="Column">The column.</param>
/// <param name="Values">Values as text; ClickHouse reads them as the column's type. At least one.</param>
public sealed record ColumnValues(string Column, IReadOnlyList<string> Values);

/// <summary>What becomes of rows that are flagged as deleted.</summary>
public enum DeletedRows
{
    /// <summary>They are left out, once it is known which row of a key counts.</summary>
    LeaveOut,

    /// <summary>They are exported with their flag, for a destination that merges.</summary>
    Keep,
}

/// <summary>How rows of one key become one.</summary>
public enum Dedup
{
    /// <summary>Rows are exported as they stand.</summary>
    None,

    /// <summary><c>SELECT DISTINCT ON (key)</c>: one row of each key, any version.</summary>
    DistinctOn,

    /// <summary><c>LIMIT 1 BY key</c>, ordered by version when there is one: the newest row of each key.</summary>
    LimitBy,

    /// <summary><c>FROM table FINAL</c>: what the table's engine says.</summary>
    Final,
}

namespace Exporter.Exports.Model;

/// <summary>What leaves the source: a table, its columns in order, and how its rows are told apart.</summary>
public sealed record SourceModel
{
    /// <summary>The table, with its database or without (then the connection's).</summary>
    public required string Table { get; init; }

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

    /// <summary>A SQL predicate over the table's columns, in ClickHouse's dialect. Default none.</summary>
    public string? Filter { get; init; }
}

/// <summary>A column of an export.</summary>
/// <param name="Expression">An expression over the table's columns, in ClickHouse's dialect.</param>
/// <param name="Alias">The column's name in the destination.</param>
public sealed record SourceColumn(string Expression, string Alias);

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

using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>The table of one export and the table of its commits, with the way to both.</summary>
internal sealed class PostgresTarget(PostgresOptions options, NpgsqlDataSource data, string tableName)
{
    private readonly TargetTable _table = new(options, tableName);

    public PostgresOptions Options => options;

    public NpgsqlDataSource Data => data;

    public CommitsTable Commits { get; } = new(options.Schema);

    public TargetTable Table => _table;

    /// <summary>The table's name alone.</summary>
    public string TableName => tableName;

    /// <summary>The table's name in SQL.</summary>
    public string Name => _table.Name;

    /// <summary>The table's name for people, and in <c>_exporter_commits.target</c>.</summary>
    public string Text => _table.Text;

    /// <summary>Throws when rows that are there already could not be told from those that come.</summary>
    /// <exception cref="UserErrorException">They could not.</exception>
    public void CheckReplaces(SliceCommit? before)
    {
        if (before is { Rows: > 0 } && before.Target == Text && !options.IsMerge && options.Provenance is null)
        {
            throw new UserErrorException(
                PostgresOptions.ProvenanceSetting,
                $"The interval was exported to {Text} before, and without a provenance column its rows cannot be told from others.",
                "Delete them and their rows of _exporter_commits, or set provenance_column before the next first export. Nothing was written.");
        }
    }

    /// <summary>Removes what a commit brought, if it went to this table.</summary>
    public async Task RemoveAsync(NpgsqlTransaction transaction, SliceCommit commit, CancellationToken cancellationToken)
    {
        if (commit.Rows == 0 || commit.Target != Text || options.Provenance is not { } provenance)
        {
            return;
        }

        var delete = Statements.Command(transaction.Connection!, transaction, $"delete from {Name} where {Quoted.Name(provenance)} = $1", commit.Id);
        await using var disposing = delete.ConfigureAwait(false);
        await delete.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }
}

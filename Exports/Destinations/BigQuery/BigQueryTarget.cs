using Apache.Arrow;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>The table that rows go to: made when it is missing, given new columns, and looked at before anything is written.</summary>
internal sealed class BigQueryTarget(BigQueryOptions options, string table)
{
    private const int Tries = 5;

    /// <summary>Its name in SQL.</summary>
    public string Name { get; } = BigQueryName.Table(options, table);

    /// <summary>Its own name alone.</summary>
    public string TableName => table;

    /// <summary>Its name for people.</summary>
    public string Text { get; } = $"{options.Project}.{options.Dataset}.{table}";

    /// <summary>The name of the table that remembers deleted keys.</summary>
    public string RememberedName => "_exporter_deleted_" + table;

    /// <summary>Sees to it that the table takes rows of a schema.</summary>
    /// <returns>The columns, in the order of the schema.</returns>
    /// <exception cref="UserErrorException">It does not; names the column, its type and what is needed.</exception>
    public async Task<IReadOnlyList<BigQueryColumn>> EnsureAsync(IBigQueryClient client, Schema schema, CancellationToken cancellationToken)
    {
        var wanted = schema.FieldsList.Select(field => new BigQueryField(field.Name, BigQueryType.Of(field))).ToList();
        CheckNames(wanted);
        var needed = options.Provenance is { } provenance ? [.. wanted, new BigQueryField(provenance, new BigQueryType("STRING"))] : wanted;
        for (var attempt = 1; ; attempt++)
        {
            var found = await client.FindAsync(table, cancellationToken).ConfigureAwait(false);
            if (found is null)
            {
                await client.CreateAsync(New(needed), cancellationToken).ConfigureAwait(false);
            }
            else
            {
                Check(found, wanted);
                var missing = needed.Where(column => !found.Columns.ContainsKey(column.Name)).ToList();
                if (missing.Count == 0)
                {
                    return
                    [
                        .. wanted.Select((column, at) => new BigQueryColumn(
                            found.Columns[column.Name].Name, column.Type, found.Columns[column.Name].Type, schema.GetFieldByIndex(at).IsNullable)),
                    ];
                }

                await client.AddColumnsAsync(found, missing, cancellationToken).ConfigureAwait(false);
            }

            // Another may have made or changed it meanwhile.
            if (attempt == Tries)
            {
                throw new BigQueryException($"The table {Text} changes all the time.") { Status = 412 };
            }
        }
    }

    /// <summary>Throws when rows that are there already could not be told from those that come.</summary>
    /// <exception cref="UserErrorException">They could not.</exception>
    public void CheckReplaces(BigQueryCommit? before)
    {
        if (before is { Rows: > 0 } && !options.IsMerge && options.Provenance is null)
        {
            throw new UserErrorException(
                BigQueryOptions.ProvenanceSetting,
                $"The interval was exported to {Text} before, and without a provenance column its rows cannot be told from others.",
                $"Delete them and their rows of {BigQueryCommits.NameOf(table)}, or set provenance_column before the next first export. Nothing was written.");
        }
    }

    private BigQueryNewTable New(IReadOnlyList<BigQueryField> columns)
    {
        foreach (var column in options.ClusterColumns)
        {
            // https://cloud.google.com/bigquery/docs/clustered-tables#limitations
            var type = TypeOf(BigQueryOptions.ClusterSetting, column, columns);
            if (type.IsArray || type.Name is "JSON" or "FLOAT64" or "BYTES")
            {
                throw new UserErrorException(BigQueryOptions.ClusterSetting, $"Column \"{column}\" is of type {type}, by which no table can be clustered.", "Name columns of numbers, texts, dates or instants.");
            }
        }

        return new BigQueryNewTable(table, columns) { Partition = Partition(columns), Cluster = options.ClusterColumns };
    }

    private (string Column, string Unit)? Partition(IReadOnlyList<BigQueryField> columns)
    {
        if (string.IsNullOrEmpty(options.PartitionBy))
        {
            return null;
        }

        var type = TypeOf(BigQueryOptions.PartitionSetting, options.PartitionBy, columns);
        if (type is not { IsArray: false, Name: "TIMESTAMP" or "DATE" })
        {
            throw new UserErrorException(BigQueryOptions.PartitionSetting, $"Column \"{options.PartitionBy}\" is of type {type}, by which the exporter partitions no table.", "Name a column of dates or instants.");
        }

        return type.Name == "DATE" && options.PartitionUnit == "hour"
            ? throw new UserErrorException(BigQueryOptions.PartitionUnitSetting, $"Column \"{options.PartitionBy}\" has dates, which have no hours.", "Use day, month or year.")
            : (options.PartitionBy, options.PartitionUnit);
    }

    private static BigQueryType TypeOf(string setting, string name, IReadOnlyList<BigQueryField> columns) =>
        columns.FirstOrDefault(column => string.Equals(column.Name, name, StringComparison.OrdinalIgnoreCase))?.Type
        ?? throw new UserErrorException(setting, $"The export has no column \"{name}\".", $"Its columns are {string.Join(", ", columns.Select(column => column.Name))}.");

    private void CheckNames(List<BigQueryField> columns)
    {
        foreach (var column in columns)
        {
            if (BigQueryName.ProblemOfColumn(column.Name) is { } problem)
            {
                throw new UserErrorException("columns", $"Column \"{column.Name}\" cannot have this name in BigQuery: {problem}.", "Give it an alias.");
            }
        }

        if (columns.GroupBy(column => column.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException("columns", $"Two columns are named \"{twice.Key}\", and to BigQuery capitals are the same.", "Give one of them another alias.");
        }

        if (options.Provenance is { } provenance && columns.Exists(column => string.Equals(column.Name, provenance, StringComparison.OrdinalIgnoreCase)))
        {
            throw new UserErrorException(BigQueryOptions.ProvenanceSetting, $"The export has a column \"{provenance}\" itself.", "Give the column of the exporter another name.");
        }

        foreach (var (setting, name) in options.KeyColumns.Select(key => (BigQueryOptions.KeySetting, (string?)key))
            .Append((BigQueryOptions.VersionSetting, options.Version)).Append((BigQueryOptions.DeleteSetting, options.DeleteColumn)))
        {
            if (name is not null && setting != BigQueryOptions.DeleteSetting && !TypeOf(setting, name, columns).IsComparable)
            {
                throw new UserErrorException(setting, $"Column \"{name}\" is of type {TypeOf(setting, name, columns)}, by which BigQuery cannot compare rows.", "Name columns of numbers, texts, dates or instants.");
            }

            if (name is not null && TypeOf(setting, name, columns) is var type && setting == BigQueryOptions.DeleteSetting && type.Name is not ("BOOL" or "INT64" or "NUMERIC"))
            {
                throw new UserErrorException(setting, $"Column \"{name}\" is of type {type}.", "Name a boolean column, or one with whole numbers.");
            }
        }
    }

    private void Check(BigQueryTable found, List<BigQueryField> wanted)
    {
        if (found.Kind != "TABLE")
        {
            throw new UserErrorException(BigQueryOptions.TableSetting, $"{Text} is no table but a {found.Kind.ToLowerInvariant().Replace('_', ' ')}.", "Name a table, or one that is not there yet.");
        }

        foreach (var column in wanted)
        {
            if (found.Columns.TryGetValue(column.Name, out var there) && !there.Type.Takes(column.Type))
            {
                throw new UserErrorException(
                    BigQueryOptions.TableSetting,
                    $"Column \"{column.Name}\" of {Text} is of type {there.Type}, which does not take every value of the export's: these need {column.Type.Sql}.",
                    $"Change the column to {column.Type.Sql}, cast it in the export's columns, or name another table. Nothing was written.");
            }
        }

        var names = wanted.Select(column => column.Name).Append(options.Provenance ?? "").ToHashSet(StringComparer.OrdinalIgnoreCase);
        if (found.Columns.Values.FirstOrDefault(column => column.IsNeeded && !names.Contains(column.Name)) is { } needed)
        {
            throw new UserErrorException(
                BigQueryOptions.TableSetting, $"Column \"{needed.Name}\" of {Text} is REQUIRED without a default, and the export does not fill it.", "Add it to the export's columns, or give it a default.");
        }

        if (options.Provenance is { } provenance && found.Columns.TryGetValue(provenance, out var said) && said.Type is not { Name: "STRING", IsArray: false, Precision: 0 })
        {
            throw new UserErrorException(
                BigQueryOptions.ProvenanceSetting, $"Column \"{provenance}\" of {Text} is of type {said.Type}.", "Name a column of type STRING, or one that is not there yet.");
        }
    }
}

using Apache.Arrow;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>A column of the export in the table that it goes to.</summary>
/// <param name="Name">Its name there.</param>
/// <param name="Type">Its type on the way: that of the staging table.</param>
/// <param name="Target">Its type in the table.</param>
/// <param name="IsNullable">Whether the export may have no value there.</param>
internal sealed record SnowflakeColumn(string Name, SnowflakeType Type, SnowflakeType Target, bool IsNullable);

/// <summary>The table that rows go to: made when it is missing, given new columns, and looked at before anything is written.</summary>
internal sealed class SnowflakeTarget(SnowflakeOptions options, string table)
{
    /// <summary>Its name in SQL.</summary>
    public string Name { get; } = options.InSchema(table);

    /// <summary>Its own name alone.</summary>
    public string TableName => table;

    /// <summary>Its name for people, and in <c>_EXPORTER_COMMITS</c>.</summary>
    public string Text { get; } = $"{options.DatabaseName}.{options.SchemaName}.{table}";

    /// <summary>Sees to it that the table takes rows of a schema.</summary>
    /// <returns>The columns, in the order of the schema.</returns>
    /// <exception cref="UserErrorException">It does not; names the column, its type and what is needed.</exception>
    public async Task<IReadOnlyList<SnowflakeColumn>> EnsureAsync(ISnowflakeClient client, Schema schema, CancellationToken cancellationToken)
    {
        var wanted = schema.FieldsList.Select(field => (Field: field, Name: options.Column(field.Name), Type: SnowflakeType.Of(field))).ToList();
        CheckNames([.. wanted.Select(column => column.Name)]);
        var needed = wanted.Select(column => (column.Name, Type: column.Type.Sql)).ToList();
        if (options.Provenance is { } provenance)
        {
            needed.Add((provenance, "VARCHAR"));
        }

        var found = await FindAsync(client, Name, cancellationToken).ConfigureAwait(false);
        if (found is null)
        {
            var columns = string.Join(",\n  ", needed.Select(column => $"{SnowflakeName.Quoted(column.Name)} {column.Type}"));
            await client.ExecuteAsync($"CREATE TABLE IF NOT EXISTS {Name} (\n  {columns})", cancellationToken).ConfigureAwait(false);
        }
        else
        {
            Check(found, wanted.Select(column => (column.Name, column.Type)));
            foreach (var (name, type) in needed.Where(column => !found.ContainsKey(column.Name)))
            {
                await client.ExecuteAsync($"ALTER TABLE {Name} ADD COLUMN IF NOT EXISTS {SnowflakeName.Quoted(name)} {type}", cancellationToken).ConfigureAwait(false);
            }
        }

        // Another may have made it meanwhile.
        if (found is null || needed.Exists(column => !found.ContainsKey(column.Name)))
        {
            found = await FindAsync(client, Name, cancellationToken).ConfigureAwait(false) ?? [];
            Check(found, wanted.Select(column => (column.Name, column.Type)));
        }

        return [.. wanted.Select(column => new SnowflakeColumn(column.Name, column.Type, found[column.Name].Type, column.Field.IsNullable))];
    }

    /// <summary>Throws when rows that are there already could not be told from those that come.</summary>
    /// <exception cref="UserErrorException">They could not.</exception>
    public void CheckReplaces(SnowflakeCommit? before)
    {
        if (before is { Rows: > 0 } && before.Target == Text && !options.IsMerge && options.Provenance is null)
        {
            throw new UserErrorException(
                SnowflakeOptions.ProvenanceSetting,
                $"The interval was exported to {Text} before, and without a provenance column its rows cannot be told from others.",
                $"Delete them and their rows of {SnowflakeCommits.TableName}, or set provenance_column before the next first export. Nothing was written.");
        }
    }

    /// <summary>The columns of a table, by name; null when there is none.</summary>
    public static async Task<Dictionary<string, FoundColumn>?> FindAsync(ISnowflakeClient client, string name, CancellationToken cancellationToken)
    {
        try
        {
            var described = await client.ExecuteAsync($"DESCRIBE TABLE {name}", cancellationToken).ConfigureAwait(false);
            var columns = new Dictionary<string, FoundColumn>(StringComparer.Ordinal);
            for (var row = 0; row < described.Rows.Count; row++)
            {
                columns[described.Value(row, "name")!] = new FoundColumn(
                    described.Value(row, "type")!, SnowflakeType.Parse(described.Value(row, "type")!), described.Value(row, "null?") == "N" && described.Value(row, "default") is null);
            }

            return columns;
        }
        catch (SnowflakeException error) when (SnowflakeErrors.IsMissingTable(error))
        {
            return null;
        }
    }

    private void CheckNames(IReadOnlyList<string> names)
    {
        foreach (var name in names)
        {
            if (name.Length is 0 or > SnowflakeName.Longest || name.Any(char.IsControl))
            {
                throw new UserErrorException("columns", $"Column \"{name}\" cannot have this name in Snowflake.", $"Give it an alias of 1 to {SnowflakeName.Longest} characters.");
            }
        }

        if (names.GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException(
                SnowflakeOptions.ColumnNamesSetting, $"Two columns are named \"{twice.Key}\" in capitals.", "Give one of them another alias, or set column_names to keep.");
        }

        if (options.Provenance is { } provenance && names.Contains(provenance))
        {
            throw new UserErrorException(
                SnowflakeOptions.ProvenanceSetting, $"The export has a column \"{provenance}\" itself.", "Give the column of the exporter another name.");
        }

        foreach (var (setting, name) in options.KeyColumns.Select(key => (SnowflakeOptions.KeySetting, (string?)key))
            .Append((SnowflakeOptions.VersionSetting, options.VersionName)).Append((SnowflakeOptions.DeleteSetting, options.DeleteName)))
        {
            if (name is not null && !names.Contains(name))
            {
                throw new UserErrorException(setting, $"The export has no column \"{name}\".", $"Its columns are {string.Join(", ", names)}.");
            }
        }
    }

    private void Check(Dictionary<string, FoundColumn> found, IEnumerable<(string Name, SnowflakeType Type)> wanted)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { options.Provenance ?? "" };
        foreach (var (name, type) in wanted)
        {
            names.Add(name);
            if (found.TryGetValue(name, out var there) && !there.Type.Takes(type))
            {
                throw new UserErrorException(
                    SnowflakeOptions.TableSetting,
                    $"Column \"{name}\" of {Text} is of type {there.Text}, which does not take every value of the export's: these need {type}.",
                    $"Change the column to {type}, cast it in the export's columns, or name another table. Nothing was written.");
            }
        }

        if (found.FirstOrDefault(pair => pair.Value.IsNeeded && !names.Contains(pair.Key)).Key is { } needed)
        {
            throw new UserErrorException(
                SnowflakeOptions.TableSetting, $"Column \"{needed}\" of {Text} is NOT NULL without a default, and the export does not fill it.", "Add it to the export's columns, or give it a default.");
        }

        if (options.Provenance is { } provenance && found.TryGetValue(provenance, out var said) && said.Type.Name != "VARCHAR")
        {
            throw new UserErrorException(
                SnowflakeOptions.ProvenanceSetting, $"Column \"{provenance}\" of {Text} is of type {said.Text}.", "Name a column of type VARCHAR, or one that is not there yet.");
        }
    }

    internal sealed record FoundColumn(string Text, SnowflakeType Type, bool IsNeeded);
}

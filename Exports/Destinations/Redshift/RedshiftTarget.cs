using System.Globalization;
using Apache.Arrow;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>The table that rows go to: made when it is missing, given new columns, and looked at before anything is written.</summary>
internal sealed class RedshiftTarget(RedshiftOptions options, string table)
{
    /// <summary>Its name in SQL.</summary>
    public string Name { get; } = options.InSchema(table);

    /// <summary>Its own name alone.</summary>
    public string TableName => table;

    /// <summary>Its name for people, and in <c>_exporter_commits</c>.</summary>
    public string Text { get; } = $"{options.SchemaName}.{table}";

    /// <summary>Makes a table where it is missing; another may make it at the same moment.</summary>
    public static async Task CreateAsync(RedshiftSession session, string schema, string table, string create, CancellationToken cancellationToken)
    {
        if (await FindAsync(session, schema, table, cancellationToken).ConfigureAwait(false) is not null)
        {
            return;
        }

        try
        {
            await session.ExecuteAsync(new(create), cancellationToken).ConfigureAwait(false);
        }
        catch (RedshiftException) when (session.IsOpen && !cancellationToken.IsCancellationRequested)
        {
            if (await FindAsync(session, schema, table, cancellationToken).ConfigureAwait(false) is null)
            {
                throw;
            }
        }
    }

    /// <summary>The columns of a table, by name; null when there is none: https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_ALL_COLUMNS.html.</summary>
    public static async Task<Dictionary<string, FoundColumn>?> FindAsync(RedshiftSession session, string schema, string table, CancellationToken cancellationToken)
    {
        var found = await session.ExecuteAsync(
            new(
                """
                SELECT CAST(column_name AS VARCHAR(128)), CAST(data_type AS VARCHAR(128)), character_maximum_length, numeric_precision, numeric_scale,
                  CAST(is_nullable AS VARCHAR(3)), CAST(column_default AS VARCHAR(4000))
                FROM svv_all_columns WHERE database_name = CURRENT_DATABASE() AND schema_name = $1 AND table_name = $2 ORDER BY ordinal_position
                """,
                schema,
                table),
            cancellationToken).ConfigureAwait(false);
        return found.Count == 0 ? null : found.ToDictionary(
            row => (string)row[0]!,
            row =>
            {
                var type = RedshiftType.Parse((string)row[1]!, Number(row[2]), Number(row[3]), Number(row[4]));
                return new FoundColumn(type, string.Equals((string?)row[5], "NO", StringComparison.OrdinalIgnoreCase) && string.IsNullOrEmpty((string?)row[6]));
            },
            StringComparer.Ordinal);
    }

    /// <summary>Sees to it that the table takes rows of a schema.</summary>
    /// <returns>The columns, in the order of the schema.</returns>
    /// <exception cref="UserErrorException">It does not; names the column, its type and what is needed.</exception>
    public async Task<IReadOnlyList<RedshiftColumn>> EnsureAsync(RedshiftSession session, Schema schema, CancellationToken cancellationToken)
    {
        var wanted = schema.FieldsList.Select(field => (Field: field, Name: RedshiftName.Of(field.Name), Type: RedshiftType.Of(field))).ToList();
        CheckNames(schema, [.. wanted.Select(column => column.Name)]);
        var needed = wanted.Select(column => (column.Name, Type: column.Type.Sql)).ToList();
        if (options.Provenance is { } provenance)
        {
            needed.Add((provenance, "VARCHAR(32)"));
        }

        var columns = string.Join(",\n  ", needed.Select(column => $"{RedshiftName.Quoted(column.Name)} {column.Type}"));
        await CheckSchemaAsync(session, cancellationToken).ConfigureAwait(false);
        await CreateAsync(session, options.SchemaName, table, $"CREATE TABLE IF NOT EXISTS {Name} (\n  {columns})", cancellationToken).ConfigureAwait(false);
        var found = await FindAsync(session, options.SchemaName, table, cancellationToken).ConfigureAwait(false) ?? [];
        Check(found, wanted.Select(column => (column.Name, column.Type)));
        foreach (var (name, type) in needed.Where(column => !found.ContainsKey(column.Name)))
        {
            await AddAsync(session, name, type, cancellationToken).ConfigureAwait(false);
        }

        found = await FindAsync(session, options.SchemaName, table, cancellationToken).ConfigureAwait(false) ?? [];
        Check(found, wanted.Select(column => (column.Name, column.Type)));
        return [.. wanted.Select(column => new RedshiftColumn(column.Name, column.Type, found[column.Name].Type, column.Field.IsNullable))];
    }

    /// <summary>Throws when rows that are there already could not be told from those that come.</summary>
    /// <exception cref="UserErrorException">They could not.</exception>
    public void CheckReplaces(RedshiftCommit? before)
    {
        if (before is { Rows: > 0 } && before.Target == Text && !options.IsMerge && options.Provenance is null)
        {
            throw new UserErrorException(
                RedshiftOptions.ProvenanceSetting,
                $"The interval was exported to {Text} before, and without a provenance column its rows cannot be told from others.",
                $"Delete them and their rows of {RedshiftCommits.TableName}, or set provenance_column before the next first export. Nothing was written.");
        }
    }

    private static int? Number(object? value) => value is null ? null : Convert.ToInt32(value, CultureInfo.InvariantCulture);

    // ADD COLUMN has no IF NOT EXISTS: https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html. Another may have added it meanwhile.
    private async Task AddAsync(RedshiftSession session, string column, string type, CancellationToken cancellationToken)
    {
        try
        {
            await session.ExecuteAsync(new($"ALTER TABLE {Name} ADD COLUMN {RedshiftName.Quoted(column)} {type}"), cancellationToken).ConfigureAwait(false);
        }
        catch (RedshiftException) when (session.IsOpen && !cancellationToken.IsCancellationRequested)
        {
            if (await FindAsync(session, options.SchemaName, table, cancellationToken).ConfigureAwait(false) is not { } found || !found.ContainsKey(column))
            {
                throw;
            }
        }
    }

    /// <summary>Throws when there is no schema, or something that is no table has the name.</summary>
    /// <exception cref="UserErrorException">So it is.</exception>
    public async Task CheckSchemaAsync(RedshiftSession session, CancellationToken cancellationToken)
    {
        var found = await session.ExecuteAsync(
            new(
                """
                SELECT CAST(s.schema_name AS VARCHAR(128)), CAST(t.table_type AS VARCHAR(128)) FROM svv_all_schemas AS s
                LEFT JOIN svv_all_tables AS t ON t.database_name = s.database_name AND t.schema_name = s.schema_name AND t.table_name = $2
                WHERE s.database_name = CURRENT_DATABASE() AND s.schema_name = $1
                """,
                options.SchemaName,
                table),
            cancellationToken).ConfigureAwait(false);
        if (found.Count == 0)
        {
            throw new UserErrorException(
                RedshiftOptions.SchemaSetting, $"There is no schema \"{options.SchemaName}\" in database {options.Database}, or the user may not use it.", "Create it, grant its usage to the user, or correct its name.");
        }

        if (found[0][1] is string kind && kind != "TABLE")
        {
            throw new UserErrorException(RedshiftOptions.TableSetting, $"{Text} is no table: {kind.ToLowerInvariant()}.", "Name a table.");
        }
    }

    private void CheckNames(Schema schema, List<string> names)
    {
        if (names.Find(name => !RedshiftName.IsColumnName(name)) is { } wrong)
        {
            throw new UserErrorException("columns", $"Column \"{wrong}\" cannot have this name in Redshift.", $"Give it an alias of 1 to {RedshiftName.Longest} bytes that is no name of PostgreSQL's own columns.");
        }

        if (names.GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException("columns", $"Two columns are named \"{twice.Key}\" to Redshift, which knows no capitals.", "Give one of them another alias.");
        }

        if (options.Provenance is { } provenance && names.Contains(provenance))
        {
            throw new UserErrorException(
                RedshiftOptions.ProvenanceSetting, $"The export has a column \"{provenance}\" itself.", "Give the column of the exporter another name.");
        }

        foreach (var (setting, name) in options.KeyColumns.Select(key => (RedshiftOptions.KeySetting, (string?)key))
            .Append((RedshiftOptions.VersionSetting, options.VersionName)).Append((RedshiftOptions.DeleteSetting, options.DeleteName)))
        {
            if (name is not null && !names.Contains(name))
            {
                throw new UserErrorException(setting, $"The export has no column \"{name}\".", $"Its columns are {string.Join(", ", names)}.");
            }

            if (name is not null && setting != RedshiftOptions.DeleteSetting && RedshiftType.Of(schema.FieldsList[names.IndexOf(name)]).IsJson)
            {
                throw new UserErrorException(setting, $"Column \"{name}\" is of type SUPER, which cannot be compared.", "Name a column of another type, or cast it in the export's columns.");
            }
        }
    }

    private void Check(Dictionary<string, FoundColumn> found, IEnumerable<(string Name, RedshiftType Type)> wanted)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { options.Provenance ?? "" };
        foreach (var (name, type) in wanted)
        {
            names.Add(name);
            if (found.TryGetValue(name, out var there) && !there.Type.Takes(type))
            {
                throw new UserErrorException(
                    RedshiftOptions.TableSetting,
                    $"Column \"{name}\" of {Text} is of type {there.Type}, which does not take every value of the export's: these need {type}.",
                    $"Change the column to {type}, cast it in the export's columns, or name another table. Nothing was written.");
            }
        }

        if (found.FirstOrDefault(pair => pair.Value.IsNeeded && !names.Contains(pair.Key)).Key is { } needed)
        {
            throw new UserErrorException(
                RedshiftOptions.TableSetting, $"Column \"{needed}\" of {Text} is NOT NULL without a default, and the export does not fill it.", "Add it to the export's columns, or give it a default.");
        }

        if (options.Provenance is { } provenance && found.TryGetValue(provenance, out var said) && (said.Type.Name != "VARCHAR" || said.Type.Length < 32))
        {
            throw new UserErrorException(
                RedshiftOptions.ProvenanceSetting, $"Column \"{provenance}\" of {Text} is of type {said.Type}.", "Name a column of type VARCHAR(32), or one that is not there yet.");
        }
    }

    internal sealed record FoundColumn(RedshiftType Type, bool IsNeeded);
}

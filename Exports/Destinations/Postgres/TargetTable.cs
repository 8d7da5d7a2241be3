using Apache.Arrow;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>A column of the export in the table that it goes to.</summary>
internal sealed record TargetColumn(string Name, PostgresType Type);

/// <summary>The table that rows go to: made when it is missing, given new columns, and looked at before anything is written.</summary>
internal sealed class TargetTable(PostgresOptions options, string table)
{
    private readonly string _schema = options.Schema;

    /// <summary>Its name in SQL.</summary>
    public string Name { get; } = Quoted.In(options.Schema, table);

    /// <summary>Its name for people, and in <c>_exporter_commits.target</c>.</summary>
    public string Text { get; } = $"{options.Schema}.{table}";

    /// <summary>Sees to it that the table takes rows of a schema.</summary>
    /// <returns>The columns, in the order of the schema.</returns>
    /// <exception cref="UserErrorException">It does not; names the column, its type and what is needed.</exception>
    public async Task<IReadOnlyList<TargetColumn>> EnsureAsync(NpgsqlConnection connection, Schema schema, CancellationToken cancellationToken)
    {
        var wanted = schema.FieldsList.Select(field => (Field: field, Column: new TargetColumn(field.Name, ColumnTypes.Of(field)))).ToList();
        CheckNames(wanted.Select(pair => pair.Column));
        if (await FindAsync(connection, null, cancellationToken).ConfigureAwait(false) is { } found && Missing(found, wanted.Select(pair => pair.Column)).Count == 0)
        {
            return Check(found, wanted);
        }

        var transaction = await Statements.BeginAsync(connection, cancellationToken).ConfigureAwait(false);
        await using var closing = transaction.ConfigureAwait(false);
        await Statements.LockAsync(transaction, Name, cancellationToken).ConfigureAwait(false);
        var now = await FindAsync(connection, transaction, cancellationToken).ConfigureAwait(false);
        if (now is null)
        {
            await Statements.ExecuteAsync(transaction, Create(wanted.Select(pair => pair.Column)), cancellationToken).ConfigureAwait(false);
        }
        else
        {
            Check(now, wanted);
            foreach (var column in Missing(now, wanted.Select(pair => pair.Column)))
            {
                await Statements.ExecuteAsync(
                    transaction, $"alter table {Name} add column if not exists {Quoted.Name(column.Name)} {column.Type.Sql}", cancellationToken).ConfigureAwait(false);
            }
        }

        var columns = Check((await FindAsync(connection, transaction, cancellationToken).ConfigureAwait(false))!, wanted);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return columns;
    }

    private void CheckNames(IEnumerable<TargetColumn> columns)
    {
        var names = columns.Select(column => column.Name).ToList();
        foreach (var name in names)
        {
            if (System.Text.Encoding.UTF8.GetByteCount(name) is 0 or > PostgresOptions.LongestName || name.Contains('\0', StringComparison.Ordinal))
            {
                throw new UserErrorException(
                    "columns", $"Column \"{name}\" cannot have this name in PostgreSQL.", $"Give it an alias of 1 to {PostgresOptions.LongestName} bytes.");
            }
        }

        if (options.Provenance is { } provenance && names.Contains(provenance))
        {
            throw new UserErrorException(
                PostgresOptions.ProvenanceSetting, $"The export has a column \"{provenance}\" itself.", "Give the column of the exporter another name.");
        }

        foreach (var (setting, name) in options.KeyColumns.Select(key => (PostgresOptions.KeySetting, key))
            .Append((PostgresOptions.VersionSetting, options.Version!)).Append((PostgresOptions.DeleteSetting, options.DeleteColumn!)))
        {
            if (name is not null && !names.Contains(name))
            {
                throw new UserErrorException(setting, $"The export has no column \"{name}\".", $"Its columns are {string.Join(", ", names)}.");
            }
        }
    }

    // Nothing is NOT NULL but the key: what an export leaves out later is null.
    private string Create(IEnumerable<TargetColumn> columns)
    {
        var lines = columns.Select(column => $"{Quoted.Name(column.Name)} {column.Type.Sql}").ToList();
        if (options.Provenance is { } provenance)
        {
            lines.Add($"{Quoted.Name(provenance)} bigint");
        }

        if (options.IsMerge)
        {
            lines.Add($"primary key ({Quoted.Names(options.KeyColumns)})");
        }

        var index = options.Provenance is null ? "" : $";\ncreate index on {Name} using brin ({Quoted.Name(options.Provenance)})";
        return $"create table {Name} (\n  {string.Join(",\n  ", lines)}\n){index}";
    }

    private List<TargetColumn> Missing(FoundTable found, IEnumerable<TargetColumn> wanted)
    {
        if (options.Provenance is { } provenance)
        {
            wanted = wanted.Append(new TargetColumn(provenance, PostgresType.Of("bigint")));
        }

        return [.. wanted.Where(column => !found.Columns.ContainsKey(column.Name))];
    }

    private List<TargetColumn> Check(FoundTable found, IReadOnlyList<(Field Field, TargetColumn Column)> wanted)
    {
        if (found.Kind is not ("r" or "p"))
        {
            throw Wrong($"{Text} is {(found.Kind == "m" ? "a materialized view" : found.Kind == "v" ? "a view" : "no table")}, which takes no rows.", "Name a table.");
        }

        var columns = new List<TargetColumn>();
        foreach (var (field, column) in wanted)
        {
            if (!found.Columns.TryGetValue(column.Name, out var there))
            {
                columns.Add(column);
                continue;
            }

            if (there.IsGenerated || there.Type is not { } type || !ColumnTypes.Takes(type, field))
            {
                var what = there.IsGenerated ? "is generated" : $"is of type {there.TypeText}";
                throw Wrong(
                    $"Column \"{column.Name}\" of {Text} {what}, which does not take every value of the export's: these need {column.Type}.",
                    $"Change the column to {column.Type}, cast it in the export's columns, or name another table. Nothing was written.");
            }

            columns.Add(column with { Type = type });
        }

        var names = wanted.Select(pair => pair.Column.Name).Append(options.Provenance ?? "").ToHashSet(StringComparer.Ordinal);
        if (found.Columns.FirstOrDefault(pair => pair.Value.IsNeeded && !names.Contains(pair.Key)).Key is { } needed)
        {
            throw Wrong($"Column \"{needed}\" of {Text} is NOT NULL without a default, and the export does not fill it.", "Add it to the export's columns, or give it a default.");
        }

        if (options.Provenance is { } provenance && found.Columns.TryGetValue(provenance, out var said) && said.TypeText != "bigint")
        {
            throw new UserErrorException(
                PostgresOptions.ProvenanceSetting, $"Column \"{provenance}\" of {Text} is of type {said.TypeText}.", "Name a column of type bigint, or one that is not there yet.");
        }

        if (options.IsMerge && !found.HasKey)
        {
            throw new UserErrorException(
                PostgresOptions.KeySetting,
                $"{Text} has no unique index on exactly the columns {string.Join(", ", options.KeyColumns)}.",
                $"Create one: create unique index on {Name} ({Quoted.Names(options.KeyColumns)}).");
        }

        return columns;
    }

    private async Task<FoundTable?> FindAsync(NpgsqlConnection connection, NpgsqlTransaction? transaction, CancellationToken cancellationToken)
    {
        var look = Statements.Command(connection, transaction, """
            select c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typtype = 'e',
              a.attgenerated <> '', a.attnotnull and not a.atthasdef and a.attidentity = '',
              exists (
                select from pg_index i
                where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
                  and $3 = (
                    select array_agg(k.attname::text collate "C" order by k.attname::text collate "C")
                    from unnest(i.indkey::int2[]) with ordinality p(number, place)
                    join pg_attribute k on k.attrelid = i.indrelid and k.attnum = p.number
                    where p.place <= i.indnkeyatts))
            from pg_namespace n
            left join pg_class c on c.relnamespace = n.oid and c.relname = $2 and c.relkind <> 'i'
            left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            left join pg_type t on t.oid = a.atttypid
            where n.nspname = $1
            """, _schema, table, options.KeyColumns.Order(StringComparer.Ordinal).ToArray());
        await using var disposing = look.ConfigureAwait(false);
        var reader = await look.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var (schema, kind, hasKey) = (false, (string?)null, false);
        var columns = new Dictionary<string, FoundColumn>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            schema = true;
            kind = reader.IsDBNull(0) ? null : reader.GetString(0);
            hasKey = reader.GetBoolean(6);
            if (!reader.IsDBNull(1))
            {
                var type = reader.GetString(2);
                columns[reader.GetString(1)] = new FoundColumn(
                    type, PostgresType.Parse(type, reader.GetBoolean(3)), reader.GetBoolean(4), reader.GetBoolean(5));
            }
        }

        return !schema
            ? throw new UserErrorException(
                PostgresOptions.SchemaSetting, $"There is no schema \"{_schema}\" in database {options.Database}.", "Create it, or correct its name.")
            : kind is null ? null : new FoundTable(kind, columns, hasKey);
    }

    private static UserErrorException Wrong(string message, string advice) => new(PostgresOptions.TableSetting, message, advice);

    private sealed record FoundTable(string Kind, IReadOnlyDictionary<string, FoundColumn> Columns, bool HasKey);

    private sealed record FoundColumn(string TypeText, PostgresType? Type, bool IsGenerated, bool IsNeeded);
}

using System.Text.RegularExpressions;
using DuckDB.NET.Data;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// The tables of the double: DuckDB executes what the exporter sends, after each statement is looked at for what Snowflake would
/// refuse. One request at a time, so that its transactions are what Snowflake's locks make of them, or stricter.
/// </summary>
internal sealed partial class SnowflakeTables : IAsyncDisposable
{
    public const string Database = "ANALYTICS";
    public const string Schema = "PUBLIC";

    private readonly DuckDBConnection _data = new("DataSource=:memory:");
    private readonly Dictionary<string, List<(string Name, string Type, bool NotNull)>> _columns = [];
    private readonly SnowflakeCopy _copy;

    private SnowflakeTables(LocalS3 s3) => _copy = new SnowflakeCopy(s3, this);

    /// <summary>External stages, by their whole name, and where they are.</summary>
    public Dictionary<string, string> Stages => _copy.Stages;

    /// <summary>Storage integrations that are there.</summary>
    public HashSet<string> Integrations => _copy.Integrations;

    /// <summary>Whether the role may create tables.</summary>
    public bool MayCreate { get; set; } = true;

    /// <summary>Files that COPY has loaded, and those that it knew already.</summary>
    public (int Loaded, int Skipped) Copies => _copy.Counts;

    public static async Task<SnowflakeTables> OpenAsync(LocalS3 s3)
    {
        var tables = new SnowflakeTables(s3);
        await tables._data.OpenAsync();
        await tables.RunAsync(
            $"""
            SET TimeZone = 'UTC'; ATTACH ':memory:' AS "{Database}"; CREATE SCHEMA IF NOT EXISTS "{Database}"."{Schema}"; CREATE SCHEMA "{Database}"."OTHER";
            CREATE MACRO iff(c, a, b) AS CASE WHEN c THEN a ELSE b END;
            CREATE MACRO parse_json(x, m) AS CASE WHEN trim(x) = '' THEN NULL ELSE CAST(x AS JSON) END;
            CREATE MACRO to_array(x) AS x
            """);
        return tables;
    }

    /// <summary>Executes a statement of Snowflake's SQL.</summary>
    /// <exception cref="SnowflakeFailure">Snowflake would refuse it.</exception>
    public async Task<SnowflakeAnswer> ExecuteAsync(string sql)
    {
        CheckPaths(sql);
        var words = SnowflakeSql.Pieces(sql).Where(piece => piece.Kind == 'w').Take(3).Select(piece => piece.Text.ToUpperInvariant()).ToArray();
        try
        {
            return words switch
            {
                ["BEGIN", ..] => await ExecuteAsync("BEGIN TRANSACTION", "Statement executed successfully."),
                ["COMMIT" or "ROLLBACK", ..] => await ExecuteAsync(words[0], "Statement executed successfully."),
                ["CREATE", ..] => await CreateAsync(sql),
                ["ALTER", "TABLE", ..] => await AlterAsync(sql),
                ["DROP", "TABLE", ..] => await DropAsync(sql),
                ["DESCRIBE", "TABLE", ..] => Describe(sql),
                ["DESCRIBE", "STAGE", ..] => _copy.Describe(SnowflakeSql.Paths(sql).Single()),
                ["SHOW", "TABLES", ..] => Show(sql),
                ["COPY", "INTO", ..] => await _copy.IntoAsync(sql),
                ["SELECT", ..] => await SelectAsync(SnowflakeSql.Translate(sql)),
                ["MERGE", ..] => await MergeAsync(sql),
                ["INSERT" or "UPDATE" or "DELETE", ..] => SnowflakeAnswer.Number($"number of rows {words[0].ToLowerInvariant()}d", await RunAsync(SnowflakeSql.Translate(sql))),
                _ => throw SnowflakeFailure.Unsupported(words.FirstOrDefault() ?? ""),
            };
        }
        catch (DuckDBException error)
        {
            throw Translated(error);
        }
    }

    /// <summary>Rows as text, of DuckDB's own SQL.</summary>
    public async Task<SnowflakeAnswer> SelectAsync(string sql)
    {
        await using var command = _data.CreateCommand();
        command.CommandText = $"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql})";
        await using var reader = await command.ExecuteReaderAsync();
        var columns = Enumerable.Range(0, reader.FieldCount).Select(reader.GetName).ToList();
        var rows = new List<IReadOnlyList<string?>>();
        while (await reader.ReadAsync())
        {
            rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(at => reader.IsDBNull(at) ? null : reader.GetString(at))]);
        }

        return new SnowflakeAnswer(columns, rows);
    }

    /// <summary>Executes DuckDB's own SQL and answers how many rows it changed.</summary>
    public async Task<int> RunAsync(string sql)
    {
        await using var command = _data.CreateCommand();
        command.CommandText = sql;
        return await command.ExecuteNonQueryAsync();
    }

    /// <summary>The columns of a table, as DESCRIBE TABLE says them.</summary>
    /// <exception cref="SnowflakeFailure">There is none.</exception>
    public IReadOnlyList<(string Name, string Type, bool NotNull)> ColumnsOf((string Database, string Schema, string Name) table) =>
        _columns.TryGetValue(Key(table), out var columns) ? columns : throw SnowflakeFailure.Missing("Table", Key(table), "42S02");

    public async ValueTask DisposeAsync() => await _data.DisposeAsync();

    private static string Key((string Database, string Schema, string Name) table) => $"{table.Database}.{table.Schema}.{table.Name}";

    private static void CheckPaths(string sql)
    {
        foreach (var (database, schema, _) in SnowflakeSql.Paths(sql))
        {
            if (database != Database)
            {
                throw SnowflakeFailure.Missing("Database", database);
            }

            if (schema is not (Schema or "OTHER"))
            {
                throw SnowflakeFailure.Missing("Schema", $"{database}.{schema}");
            }
        }
    }

    private async Task<SnowflakeAnswer> ExecuteAsync(string sql, string status)
    {
        await RunAsync(sql);
        return SnowflakeAnswer.Status(status);
    }

    private async Task<SnowflakeAnswer> CreateAsync(string sql)
    {
        var table = SnowflakeSql.Paths(sql).Single();
        if (!MayCreate)
        {
            throw new SnowflakeFailure("003001", "42501", $"SQL access control error:\nInsufficient privileges to operate on schema '{table.Schema}'");
        }

        if (_columns.ContainsKey(Key(table)))
        {
            return sql.Contains("IF NOT EXISTS", StringComparison.OrdinalIgnoreCase)
                ? SnowflakeAnswer.Status($"{table.Name} already exists, statement succeeded.")
                : throw new SnowflakeFailure("002002", "42710", $"SQL compilation error:\nObject '{Key(table)}' already exists.");
        }

        await RunAsync(SnowflakeSql.Translate(sql));
        var open = sql.IndexOf('(', StringComparison.Ordinal);
        _columns[Key(table)] = [.. SnowflakeSql.Columns(sql[(open + 1)..sql.LastIndexOf(')')])];
        return SnowflakeAnswer.Status($"Table {table.Name} successfully created.");
    }

    private async Task<SnowflakeAnswer> AlterAsync(string sql)
    {
        var table = SnowflakeSql.Paths(sql).Single();
        var columns = ColumnsOf(table);
        var added = SnowflakeSql.Columns(Added().Match(sql).Groups["column"].Value).Single();
        if (columns.Any(column => column.Name == added.Name))
        {
            return SnowflakeAnswer.Status("Statement executed successfully.");
        }

        await RunAsync(SnowflakeSql.Translate(sql));
        _columns[Key(table)].Add(added);
        return SnowflakeAnswer.Status("Statement executed successfully.");
    }

    private async Task<SnowflakeAnswer> DropAsync(string sql)
    {
        var table = SnowflakeSql.Paths(sql).Single();
        if (!_columns.Remove(Key(table)) && !sql.Contains("IF EXISTS", StringComparison.OrdinalIgnoreCase))
        {
            throw SnowflakeFailure.Missing("Table", Key(table), "42S02");
        }

        _copy.Forget(Key(table));
        return await ExecuteAsync(SnowflakeSql.Translate(sql), $"{table.Name} successfully dropped.");
    }

    private SnowflakeAnswer Describe(string sql) => new(
        ["name", "type", "kind", "null?", "default"],
        [.. ColumnsOf(SnowflakeSql.Paths(sql).Single()).Select(column => (IReadOnlyList<string?>)[column.Name, column.Type, "COLUMN", column.NotNull ? "N" : "Y", null])]);

    private SnowflakeAnswer Show(string sql)
    {
        var like = SnowflakeSql.Pieces(sql).First(piece => piece.Kind == 's').Text;
        var pattern = new Regex("^" + Regex.Escape(like).Replace("%", ".*", StringComparison.Ordinal).Replace("_", ".", StringComparison.Ordinal) + "$", RegexOptions.IgnoreCase);
        var names = _columns.Keys.Select(key => key.Split('.', 3)).Where(parts => pattern.IsMatch(parts[2]));
        return new SnowflakeAnswer(["created_on", "name", "database_name", "schema_name"], [.. names.Select(parts => (IReadOnlyList<string?>)["0", parts[2], parts[0], parts[1]])]);
    }

    // Of two rows for one, DuckDB takes some; Snowflake refuses: ERROR_ON_NONDETERMINISTIC_MERGE.
    private async Task<SnowflakeAnswer> MergeAsync(string sql)
    {
        var parts = Merged().Match(sql);
        Assert.That(parts.Success, Is.True, sql);
        var (target, source) = (parts.Groups["target"].Value, $"({parts.Groups["source"].Value}) AS {parts.Groups["name"].Value}");
        var twice = await SelectAsync(SnowflakeSql.Translate(
            $"SELECT 1 FROM {target} AS {parts.Groups["alias"].Value} JOIN {source} ON {parts.Groups["on"].Value} GROUP BY {parts.Groups["alias"].Value}.rowid HAVING COUNT(*) > 1"));
        return twice.Rows.Count > 0
            ? throw new SnowflakeFailure("100090", "42P18", "Duplicate row detected during DML action")
            : SnowflakeAnswer.Number("number of rows inserted", await RunAsync(SnowflakeSql.Translate(sql)));
    }

    private static SnowflakeFailure Translated(DuckDBException error)
    {
        var message = error.Message;
        if (NoNumber().Match(message) is { Success: true } text)
        {
            return new SnowflakeFailure("100038", "22018", $"Numeric value '{text.Groups["text"].Value}' is not recognized");
        }

        if (NoTable().Match(message) is { Success: true } table)
        {
            return SnowflakeFailure.Missing("Table", table.Groups["name"].Value, "42S02");
        }

        return message.Contains("JSON", StringComparison.Ordinal)
            ? new SnowflakeFailure("100069", "22P02", $"Error parsing JSON: {message}")
            : SnowflakeFailure.Compilation(message);
    }

    [GeneratedRegex("""ADD COLUMN (?:IF NOT EXISTS )?(?<column>".*)$""", RegexOptions.Singleline)]
    private static partial Regex Added();

    [GeneratedRegex(@"^MERGE INTO (?<target>\S+) AS (?<alias>\w+) USING \((?<source>.*)\) AS (?<name>\w+) ON (?<on>.*?)\s+WHEN ", RegexOptions.Singleline)]
    private static partial Regex Merged();

    [GeneratedRegex("Could not convert string '(?<text>.*?)' to INT", RegexOptions.Singleline)]
    private static partial Regex NoNumber();

    [GeneratedRegex("Table with name (?<name>.*?) does not exist")]
    private static partial Regex NoTable();
}

using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using DuckDB.NET.Data;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// The tables of the double: DuckDB executes what the exporter sends, after each statement is looked at for what BigQuery would refuse. One job at a
/// time, so that its transactions are what BigQuery's conflicts make of them.
/// </summary>
internal sealed partial class BigQueryTables : IAsyncDisposable
{
    public const string Project = "test-project";
    public const string Dataset = "analytics";

    // https://cloud.google.com/bigquery/quotas#load_jobs: of a table in a day.
    private const int MostLoads = 1_500;

    // https://cloud.google.com/bigquery/docs/transactions#limitations.
    private const int MostTables = 100;

    // https://cloud.google.com/bigquery/quotas#query_jobs: 1 MB of a query that is not resolved.
    private const int LongestQuery = 1024 * 1024;

    private readonly DuckDBConnection _data = new("DataSource=:memory:");
    private readonly Dictionary<string, JsonObject> _tables = [];
    private readonly Dictionary<string, int> _loads = [];
    private int _changes;

    /// <summary>Permissions that the account lacks.</summary>
    public HashSet<string> Denied { get; } = [];

    /// <summary>Statements that were executed, without those that looked only.</summary>
    public int Changes { get; private set; }

    /// <summary>The tables' resources, by name.</summary>
    public IReadOnlyDictionary<string, JsonObject> All => _tables;

    public static async Task<BigQueryTables> OpenAsync()
    {
        var tables = new BigQueryTables();
        await tables._data.OpenAsync();
        await tables.RunAsync(
            $"""
            SET TimeZone = 'UTC'; ATTACH ':memory:' AS "{Project}"; CREATE SCHEMA "{Project}"."{Dataset}";
            CREATE MACRO parse_json(x) AS CAST(x AS JSON);
            CREATE MACRO to_json_string(x) AS COALESCE(CAST(to_json(x) AS VARCHAR), 'null')
            """);
        return tables;
    }

    /// <summary>GET of a table.</summary>
    public JsonObject Get(string table) => _tables.TryGetValue(table, out var found) ? found : throw BigQueryFailure.Missing("Table", $"{Project}:{Dataset}.{table}");

    /// <summary>POST of a table.</summary>
    public async Task<JsonObject> CreateAsync(JsonObject body)
    {
        Allow("bigquery.tables.create");
        var name = body["tableReference"]!["tableId"]!.GetValue<string>();
        if (_tables.ContainsKey(name))
        {
            throw BigQueryFailure.There("Table", $"{Project}:{Dataset}.{name}");
        }

        var fields = body["schema"]!["fields"]!.AsArray();
        foreach (var field in fields)
        {
            CheckField(field!.AsObject(), fields);
        }

        CheckLayout(body, fields);
        var columns = string.Join(", ", fields.Select(field => $"{Quoted(field!["name"]!.GetValue<string>())} {TypeOf(field!.AsObject())}{(field!["mode"]?.GetValue<string>() == "REQUIRED" ? " NOT NULL" : "")}"));
        await RunAsync($"CREATE TABLE {Sql(name)} ({columns})");
        var table = body.DeepClone().AsObject();
        (table["kind"], table["type"], table["etag"]) = ("bigquery#table", "TABLE", Etag());
        return _tables[name] = table;
    }

    /// <summary>PATCH of a table: https://cloud.google.com/bigquery/docs/managing-table-schemas.</summary>
    public async Task<JsonObject> PatchAsync(string name, string etag, JsonObject body)
    {
        Allow("bigquery.tables.update");
        var table = Get(name);
        if (etag.Length > 0 && etag != table["etag"]!.GetValue<string>())
        {
            throw new BigQueryFailure(412, "conditionNotMet", "Precondition check failed.");
        }

        var (there, wanted) = (table["schema"]!["fields"]!.AsArray(), body["schema"]!["fields"]!.AsArray());
        foreach (var field in there)
        {
            if (!wanted.Any(other => JsonNode.DeepEquals(other, field)))
            {
                throw BigQueryFailure.Invalid($"Provided Schema does not match Table {Project}:{Dataset}.{name}. Field {field!["name"]} is missing in new schema");
            }
        }

        foreach (var field in wanted.Where(field => !there.Any(other => JsonNode.DeepEquals(other, field))))
        {
            CheckField(field!.AsObject(), wanted);
            if (field["mode"]?.GetValue<string>() == "REQUIRED")
            {
                throw BigQueryFailure.Invalid($"Provided Schema does not match Table {Project}:{Dataset}.{name}. Cannot add required fields to an existing schema.");
            }

            await RunAsync($"ALTER TABLE {Sql(name)} ADD COLUMN {Quoted(field["name"]!.GetValue<string>())} {TypeOf(field.AsObject())}");
        }

        (table["schema"], table["etag"]) = (body["schema"]!.DeepClone(), Etag());
        return table;
    }

    /// <summary>DELETE of a table.</summary>
    public async Task DropAsync(string name)
    {
        Get(name);
        Allow("bigquery.tables.delete");
        await RunAsync($"DROP TABLE {Sql(name)}");
        _tables.Remove(name);
    }

    /// <summary>Executes a query job; a transaction that is open when a statement fails is rolled back.</summary>
    /// <exception cref="BigQueryFailure">It fails.</exception>
    public async Task<(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)> QueryAsync(string sql)
    {
        if (sql.Length > LongestQuery)
        {
            throw BigQueryFailure.Invalid("The query is too large. The maximum standard SQL query length is 1024.00K characters");
        }

        var open = false;
        (IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows) answer = ([], []);
        try
        {
            foreach (var statement in BigQuerySql.Split(sql))
            {
                var words = BigQuerySql.Pieces(statement).Take(2).Select(piece => piece.Text).ToArray();
                (open, answer) = words switch
                {
                    ["BEGIN", "TRANSACTION"] when !open => (true, await DoneAsync("BEGIN TRANSACTION")),
                    ["COMMIT" or "ROLLBACK", "TRANSACTION"] when open => (false, await DoneAsync(words[0])),
                    ["SELECT", ..] => (open, await SelectCheckedAsync(statement)),
                    ["INSERT" or "UPDATE" or "DELETE" or "MERGE", ..] => (open, await ChangeAsync(statement, words[0])),
                    _ => throw BigQueryFailure.Query($"Statement type {words[0]} is not supported{(open ? " in a transaction" : "")}"),
                };
            }

            return answer;
        }
        catch (DuckDBException error)
        {
            throw Translated(error);
        }
        finally
        {
            if (open)
            {
                await RunAsync("ROLLBACK");
            }
        }
    }

    /// <summary>Executes a load job.</summary>
    /// <returns>How many rows it has loaded.</returns>
    public async Task<int> LoadAsync(JsonObject load, string path)
    {
        var name = load["destinationTable"]!["tableId"]!.GetValue<string>();
        Assert.That(load["sourceFormat"]!.GetValue<string>(), Is.EqualTo("PARQUET"));
        Assert.That(load["createDisposition"]!.GetValue<string>(), Is.EqualTo("CREATE_NEVER"));
        var table = Get(name);
        Allow("bigquery.tables.updateData");
        var count = _loads[name] = _loads.GetValueOrDefault(name) + 1;
        if (count > MostLoads)
        {
            throw new BigQueryFailure(403, "quotaExceeded", "Quota exceeded: Your table exceeded quota for imports or query appends per table.");
        }

        if (load["writeDisposition"]!.GetValue<string>() == "WRITE_EMPTY" && (await SelectAsync($"SELECT 1 FROM {Sql(name)} LIMIT 1")).Rows.Count > 0)
        {
            throw BigQueryFailure.There("Table", $"{Project}:{Dataset}.{name}");
        }

        var fields = load["schema"]!["fields"]!.AsArray();
        if (!JsonNode.DeepEquals(fields, table["schema"]!["fields"]))
        {
            throw BigQueryFailure.Invalid($"Provided Schema does not match Table {Project}:{Dataset}.{name}.");
        }

        await BigQueryParquet.CheckAsync(this, path, fields, load["parquetOptions"]?["enableListInference"]?.GetValue<bool>() == true);
        var columns = string.Join(", ", fields.Select(field => Quoted(field!["name"]!.GetValue<string>())));
        try
        {
            return await RunAsync($"INSERT INTO {Sql(name)} ({columns}) SELECT {columns} FROM read_parquet('{path}')");
        }
        catch (DuckDBException error)
        {
            throw BigQueryFailure.Invalid($"Error while reading data, error message: {error.Message}");
        }
    }

    /// <summary>Rows as text, of DuckDB's own SQL.</summary>
    public async Task<(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)> SelectAsync(string sql)
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

        return (columns, rows);
    }

    /// <summary>Executes DuckDB's own SQL and answers how many rows it changed.</summary>
    public async Task<int> RunAsync(string sql)
    {
        await using var command = _data.CreateCommand();
        command.CommandText = sql;
        return await command.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync() => await _data.DisposeAsync();

    public void Allow(string permission)
    {
        if (Denied.Contains(permission))
        {
            throw BigQueryFailure.Denied(permission, $"dataset {Project}:{Dataset}");
        }
    }

    private static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private static string Sql(string table) => $"{Quoted(Project)}.{Quoted(Dataset)}.{Quoted(table)}";

    private static string TypeOf(JsonObject field) => BigQuerySql.Type(NameOf(field)) + (field["mode"]?.GetValue<string>() == "REPEATED" ? "[]" : "");

    public static string NameOf(JsonObject field) => field["type"]!.GetValue<string>() switch { "INTEGER" => "INT64", "FLOAT" => "FLOAT64", "BOOLEAN" => "BOOL", var other => other };

    private string Etag() => string.Create(CultureInfo.InvariantCulture, $"\"etag-{++_changes}\"");

    // https://cloud.google.com/bigquery/docs/schemas#column_names
    private static void CheckField(JsonObject field, JsonArray all)
    {
        var name = field["name"]!.GetValue<string>();
        if (!FieldName().IsMatch(name) || ReservedName().IsMatch(name))
        {
            throw BigQueryFailure.Invalid($"Invalid field name \"{name}\". Fields must contain the allowed characters, and be at most 300 characters long.");
        }

        if (all.Count(other => string.Equals(other!["name"]!.GetValue<string>(), name, StringComparison.OrdinalIgnoreCase)) > 1)
        {
            throw BigQueryFailure.Invalid($"Duplicate field name: {name}");
        }
    }

    // https://cloud.google.com/bigquery/docs/partitioned-tables and https://cloud.google.com/bigquery/docs/clustered-tables
    private static void CheckLayout(JsonObject body, JsonArray fields)
    {
        string? TypeNamed(JsonNode? name) => fields.FirstOrDefault(field => field!["name"]!.GetValue<string>() == name!.GetValue<string>()) is { } field ? NameOf(field.AsObject()) : null;
        if (body["timePartitioning"] is { } partition && (TypeNamed(partition["field"]), partition["type"]!.GetValue<string>()) is not (("TIMESTAMP", "HOUR" or "DAY" or "MONTH" or "YEAR") or ("DATE", "DAY" or "MONTH" or "YEAR")))
        {
            throw BigQueryFailure.Invalid("The field specified for partitioning cannot be used.");
        }

        if (body["clustering"]?["fields"]?.AsArray() is { } cluster && (cluster.Count > 4 || cluster.Any(name => TypeNamed(name) is null or "JSON" or "FLOAT64" or "BYTES")))
        {
            throw BigQueryFailure.Invalid("The fields specified for clustering cannot be used.");
        }
    }

    private async Task<(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)> DoneAsync(string sql)
    {
        await RunAsync(sql);
        return ([], []);
    }

    private Task<(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)> SelectCheckedAsync(string sql)
    {
        CheckTables(sql);
        return SelectAsync(BigQuerySql.Translate(sql));
    }

    private async Task<(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)> ChangeAsync(string sql, string word)
    {
        CheckTables(sql);
        Allow("bigquery.tables.updateData");
        if (word == "MERGE")
        {
            await CheckMergeAsync(sql);
        }

        Changes++;
        return await DoneAsync(BigQuerySql.Translate(sql));
    }

    private void CheckTables(string sql)
    {
        var tables = BigQuerySql.Tables(sql).Distinct().ToList();
        if (tables.Count > MostTables)
        {
            throw BigQueryFailure.Query("Transactions cannot mutate more than 100 tables.");
        }

        foreach (var (project, dataset, table) in tables)
        {
            if (project != Project || dataset != Dataset)
            {
                throw BigQueryFailure.Missing("Dataset", $"{project}:{dataset} was not found in location {BigQueryServer.Location}");
            }

            if (!_tables.ContainsKey(table))
            {
                throw BigQueryFailure.Missing("Table", $"{project}:{dataset}.{table} was not found in location {BigQueryServer.Location}");
            }
        }
    }

    // Of two rows for one, DuckDB takes some; BigQuery refuses. Its outer joins need an equality of both sides:
    // https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#left_join.
    private async Task CheckMergeAsync(string sql)
    {
        var parts = Merged().Match(sql);
        Assert.That(parts.Success, Is.True, sql);
        Assert.That(parts.Groups["on"].Value.Split(" AND ").All(term => EqualTerms().IsMatch(term)), Is.True, $"LEFT OUTER JOIN needs equalities: {parts.Groups["on"].Value}");
        var (target, source) = (parts.Groups["target"].Value, $"({parts.Groups["source"].Value}) AS {parts.Groups["name"].Value}");
        var twice = await SelectAsync(BigQuerySql.Translate(
            $"SELECT 1 FROM {target} AS {parts.Groups["alias"].Value} JOIN {source} ON {parts.Groups["on"].Value} GROUP BY {parts.Groups["alias"].Value}.rowid HAVING COUNT(*) > 1"));
        if (twice.Rows.Count > 0)
        {
            throw BigQueryFailure.Query("UPDATE/MERGE must match at most one source row for each target row");
        }
    }

    private static BigQueryFailure Translated(DuckDBException error)
    {
        var message = error.Message;
        return message.Contains("exporter: ", StringComparison.Ordinal)
            ? BigQueryFailure.Query($"Query error: {message[message.IndexOf("exporter: ", StringComparison.Ordinal)..].Trim()} at [3:7]")
            : message.Contains("Malformed JSON", StringComparison.Ordinal) ? BigQueryFailure.Query("Invalid input to PARSE_JSON: syntax error while parsing value - invalid literal; last read: 'x' at [5:1]")
            : message.Contains("NOT NULL constraint", StringComparison.Ordinal) ? BigQueryFailure.Query($"Required field {message.Split('.')[^1]} cannot be null")
            : BigQueryFailure.Query(message);
    }

    [GeneratedRegex(@"^[\p{L}_][\p{L}\p{N}_ -]{0,299}$")]
    private static partial Regex FieldName();

    [GeneratedRegex("^(?:_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER|_CHANGE_)", RegexOptions.IgnoreCase)]
    private static partial Regex ReservedName();

    [GeneratedRegex(@"^MERGE INTO (?<target>\S+) AS (?<alias>\w+) USING \((?<source>.*)\) AS (?<name>\w+) ON (?<on>.*?)\s+WHEN ", RegexOptions.Singleline)]
    private static partial Regex Merged();

    [GeneratedRegex(@"^(?:TO_JSON_STRING\()?\w+\.`[^`]+`\)? = (?:TO_JSON_STRING\()?\w+\.`[^`]+`\)?$")]
    private static partial Regex EqualTerms();
}

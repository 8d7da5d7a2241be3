using System.Globalization;
using System.Text.RegularExpressions;
using Amazon.S3;
using Amazon.S3.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// COPY INTO as https://docs.snowflake.com/en/sql-reference/sql/copy-into-table has it, for what the exporter sends: reads the real bucket with the
/// keys of the statement or as a stage does, loads the Parquet by the columns' names, and remembers what was loaded.
/// </summary>
internal sealed partial class SnowflakeCopy(LocalS3 s3, SnowflakeTables tables)
{
    private const int MostFiles = 1_000;

    // Of a table, for 64 days: name, size and tag of each file.
    private readonly HashSet<(string Table, string Key, long Size, string Tag)> _loaded = [];
    private bool _backslashN;
    private int _count;
    private int _skipped;

    public Dictionary<string, string> Stages { get; } = [];

    public HashSet<string> Integrations { get; } = [];

    public (int Loaded, int Skipped) Counts => (_count, _skipped);

    /// <summary>With a table goes what was loaded into it.</summary>
    public void Forget(string table) => _loaded.RemoveWhere(file => file.Table == table);

    public SnowflakeAnswer Describe((string Database, string Schema, string Name) stage) => new(
        ["parent_property", "property", "property_type", "property_value", "property_default"],
        [
            ["STAGE_FILE_FORMAT", "TYPE", "String", "CSV", "CSV"],
            ["STAGE_LOCATION", "URL", "String", $"[\"{UrlOf(stage)}\"]", ""],
        ]);

    public async Task<SnowflakeAnswer> IntoAsync(string sql)
    {
        var parts = Statement().Match(sql);
        Assert.That(parts.Success, Is.True, $"COPY is not as it should be: {sql}");
        var table = SnowflakeSql.Paths(sql).First();
        var pieces = SnowflakeSql.Pieces(sql);
        var location = pieces.First(piece => piece.Kind == 's').Text;
        var files = SnowflakeSql.Pieces(parts.Groups["files"].Value).Where(piece => piece.Kind == 's').Select(piece => piece.Text).ToList();
        if (files.Count > MostFiles)
        {
            throw SnowflakeFailure.Compilation($"Invalid number of files {files.Count}, the maximum is {MostFiles}.");
        }

        // A text that is \N is NULL, unless it is told otherwise.
        _backslashN = !parts.Groups["nullif"].Success;
        using var client = Client(location, parts);
        var place = location[0] == '@' ? UrlBehind(location) : location;
        var (bucket, prefix) = (place.Split('/')[2], string.Join('/', place.Split('/').Skip(3)));
        var rows = new List<IReadOnlyList<string?>>();
        foreach (var file in files)
        {
            if (await LoadAsync(client, table, bucket, prefix + file, place + file) is { } loaded)
            {
                rows.Add(loaded);
            }
        }

        return rows.Count == 0
            ? SnowflakeAnswer.Status("Copy executed with 0 files processed.")
            : new SnowflakeAnswer(["file", "status", "rows_parsed", "rows_loaded", "error_limit", "errors_seen", "first_error", "first_error_line", "first_error_character", "first_error_column_name"], rows);
    }

    private AmazonS3Client Client(string location, Match parts)
    {
        if (location[0] == '@')
        {
            return s3.CreateClient();
        }

        if (parts.Groups["integration"] is { Success: true } integration)
        {
            return Integrations.Contains(integration.Value) ? s3.CreateClient() : throw SnowflakeFailure.Missing("Integration", integration.Value);
        }

        var keys = SnowflakeSql.Pieces(parts.Groups["credentials"].Value).Where(piece => piece.Kind == 's').Select(piece => piece.Text).ToList();
        return new AmazonS3Client(keys[0], keys[1], (AmazonS3Config)s3.CreateClient().Config);
    }

    private string UrlBehind(string location)
    {
        var path = SnowflakeSql.Paths(location[1..]).Single();
        var slash = location.LastIndexOf("\"/", StringComparison.Ordinal);
        return UrlOf(path).TrimEnd('/') + location[(slash + 1)..];
    }

    private string UrlOf((string Database, string Schema, string Name) stage) =>
        Stages.TryGetValue($"{stage.Database}.{stage.Schema}.{stage.Name}", out var url) ? url : throw SnowflakeFailure.Missing("Stage", $"{stage.Database}.{stage.Schema}.{stage.Name}");

    private async Task<IReadOnlyList<string?>?> LoadAsync(AmazonS3Client client, (string Database, string Schema, string Name) table, string bucket, string key, string shown)
    {
        var path = Path.GetTempFileName();
        try
        {
            string tag;
            long size;
            using (var found = await client.GetObjectAsync(new GetObjectRequest { BucketName = bucket, Key = key }))
            {
                (tag, size) = (found.ETag, found.ContentLength);
                await using var file = File.Create(path);
                await found.ResponseStream.CopyToAsync(file);
            }

            if (!_loaded.Add(($"{table.Database}.{table.Schema}.{table.Name}", key, size, tag)))
            {
                _skipped++;
                return null;
            }

            _count++;
            var rows = await InsertAsync(table, path);
            return [shown, "LOADED", rows, rows, "1", "0", null, null, null, null];
        }
        catch (AmazonS3Exception error) when (error.StatusCode == System.Net.HttpStatusCode.NotFound)
        {
            throw new SnowflakeFailure("100016", "22000", $"Remote file '{shown}' was not found. There are several potential causes.");
        }
        catch (AmazonS3Exception error)
        {
            throw new SnowflakeFailure("091003", "55000", $"Failure using stage area. Cause: [{error.Message} (Status Code: {(int)error.StatusCode}; Error Code: {error.ErrorCode})]");
        }
        finally
        {
            File.Delete(path);
        }
    }

    // By name, with capitals; what the file lacks is null, and a file of which nothing fits loads rows of nulls without a word.
    private async Task<string> InsertAsync((string Database, string Schema, string Name) table, string path)
    {
        var there = tables.ColumnsOf(table);
        var described = await tables.SelectAsync($"SELECT name, converted_type FROM parquet_schema('{path}') WHERE num_children IS NULL");
        foreach (var row in described.Rows)
        {
            // Its reader takes them for signed numbers.
            Assert.That(row[1], Is.Not.EqualTo("UINT_64"), $"column {row[0]}");
        }

        var names = described.Rows.Select(row => row[0]!).Where(name => there.Any(column => column.Name == name)).Select(name => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"").ToList();
        var list = string.Join(", ", names);
        var count = await tables.RunAsync($"INSERT INTO \"{table.Database}\".\"{table.Schema}\".\"{table.Name}\" ({list}) SELECT {(_backslashN ? string.Join(", ", names.Select(name => $"CASE WHEN CAST({name} AS VARCHAR) = '\\N' THEN NULL ELSE {name} END")) : list)} FROM read_parquet('{path}')");
        return count.ToString(CultureInfo.InvariantCulture);
    }

    [GeneratedRegex("""
        ^COPY INTO \S+ FROM '(?:[^']|'')*'(?: STORAGE_INTEGRATION = "(?<integration>[^"]+)"| CREDENTIALS = \((?<credentials>AWS_KEY_ID = '[^']*' AWS_SECRET_KEY = '[^']*')\))? FILES = \((?<files>[^)]*)\) FILE_FORMAT = \(TYPE = PARQUET USE_LOGICAL_TYPE = TRUE USE_VECTORIZED_SCANNER = TRUE BINARY_AS_TEXT = FALSE(?<nullif> NULL_IF = \(\))?\) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT$
        """)]
    private static partial Regex Statement();
}

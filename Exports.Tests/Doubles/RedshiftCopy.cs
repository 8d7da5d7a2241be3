using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Amazon.S3;
using Amazon.S3.Model;
using DuckDB.NET.Data;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A column of a table as it was declared.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">varchar_65535, varbyte_10, int8, numeric(20,0), and so on.</param>
internal sealed record RedshiftDeclared(string Name, string Type);

/// <summary>What a COPY failed with, and what the load error views say of it.</summary>
internal sealed class RedshiftLoadFailure(string file, string column, string type, int code, string reason) : Exception(reason)
{
    public (string File, string Column, string Type, int Code, string Reason) Line { get; } = (file, column, type, code, reason);
}

/// <summary>
/// COPY of Parquet as https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html has it: reads the real bucket with the keys of the statement or as its
/// role does, compares the files with the manifest and their types with the table's, and hands out the rows.
/// </summary>
internal sealed partial class RedshiftCopy(LocalS3 s3)
{
    // Of that page, besides FROM.
    private static readonly string[] Known = ["ACCEPTINVCHARS", "FILLRECORD", "IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "STATUPDATE", "MANIFEST", "EXPLICIT_IDS", "SERIALIZETOJSON", "FORMAT", "AS", "PARQUET", "DEFAULT"];

    /// <summary>Roles that the cluster has, the first of which is the default one.</summary>
    public List<string> Roles { get; } = ["arn:aws:iam::123456789012:role/exports"];

    /// <summary>The region that the cluster believes the bucket is not in.</summary>
    public bool IsElsewhere { get; set; }

    /// <summary>Whether the last row of each file is lost without a word.</summary>
    public bool LosesRows { get; set; }

    public static bool IsCopy(string sql) => sql.TrimStart().StartsWith("COPY", StringComparison.OrdinalIgnoreCase);

    /// <summary>The table and columns of a COPY.</summary>
    public static (string Table, string Columns) Into(string sql) => Statement().Match(sql) is { Success: true } match
        ? (match.Groups["table"].Value, match.Groups["columns"].Value)
        : throw RedshiftFailure.Syntax("COPY");

    /// <summary>Reads the files of a COPY; each row is a line of PostgreSQL's own COPY.</summary>
    public async Task<(byte[] Lines, long Rows)> ReadAsync(string sql, IReadOnlyList<RedshiftDeclared> columns)
    {
        var parts = Statement().Match(sql);
        var options = parts.Groups["options"].Value;
        var bare = Quoted().Replace(options, "");
        foreach (Match word in Words().Matches(bare))
        {
            if (!Known.Contains(word.Value, StringComparer.OrdinalIgnoreCase))
            {
                throw RedshiftFailure.Unsupported($"{word.Value.ToUpperInvariant()} argument is not supported for PARQUET based COPY:");
            }
        }

        if (!Format().IsMatch(bare) || !bare.Contains("MANIFEST", StringComparison.OrdinalIgnoreCase))
        {
            throw RedshiftFailure.Unsupported("The double reads FORMAT AS PARQUET by a MANIFEST:");
        }

        using var client = Client(options);
        if (IsElsewhere)
        {
            throw S3("The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.", 301, "PermanentRedirect");
        }

        var (lines, rows) = (new MemoryStream(), 0L);
        foreach (var (url, length) in await ManifestAsync(client, RedshiftSql.Bare(parts.Groups["from"].Value)))
        {
            var path = Path.GetTempFileName();
            try
            {
                var size = await FetchAsync(client, url, path);
                if (size != length)
                {
                    throw new RedshiftFailure("XX000", "Spectrum Scan Error", $"error: Spectrum Scan Error code: 15001 context: {url} has {size} bytes, and its manifest says {length}");
                }

                rows += await RowsAsync(path, url, columns, lines) - (LosesRows ? 1 : 0);
            }
            finally
            {
                File.Delete(path);
            }
        }

        return (lines.ToArray(), rows);
    }

    // https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-authorization.html
    private AmazonS3Client Client(string options)
    {
        var configuration = (AmazonS3Config)s3.CreateClient().Config;
        if (Role().Match(options) is { Success: true } role)
        {
            if (Key().IsMatch(options))
            {
                throw RedshiftFailure.Syntax("ACCESS_KEY_ID");
            }

            var name = role.Groups["role"].Value.Trim('\'');
            return name.Equals("default", StringComparison.OrdinalIgnoreCase) || Roles.Contains(name)
                ? s3.CreateClient()
                : throw new RedshiftFailure("XX000", $"User arn:aws:redshift:us-east-1:123456789012:dbuser:cluster/exporter is not authorized to assume IAM Role {name}");
        }

        return Key().Match(options) is { Success: true } keys
            ? new AmazonS3Client(keys.Groups["key"].Value, keys.Groups["secret"].Value, configuration)
            : throw new RedshiftFailure("XX000", "Must specify a credential: IAM_ROLE, ACCESS_KEY_ID and SECRET_ACCESS_KEY, or CREDENTIALS");
    }

    // https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html; meta is needed for Parquet.
    private static async Task<List<(string Url, long Length)>> ManifestAsync(AmazonS3Client client, string url)
    {
        using var content = await OpenAsync(client, url);
        using var document = await JsonDocument.ParseAsync(content.ResponseStream);
        var entries = document.RootElement.GetProperty("entries").EnumerateArray().Select(entry => (
            entry.GetProperty("url").GetString()!,
            entry.TryGetProperty("meta", out var meta) ? meta.GetProperty("content_length").GetInt64() : throw new RedshiftFailure("XX000", "Invalid manifest: content_length is missing for a file of a columnar format"))).ToList();
        Assert.That(document.RootElement.GetProperty("entries").EnumerateArray().All(entry => entry.GetProperty("mandatory").GetBoolean()), Is.True, "a file that is missing must be an error");
        return entries.Count > 0 ? entries : throw new RedshiftFailure("XX000", "No files found in the manifest");
    }

    private static async Task<long> FetchAsync(AmazonS3Client client, string url, string path)
    {
        using var content = await OpenAsync(client, url);
        await using var file = File.Create(path);
        await content.ResponseStream.CopyToAsync(file);
        return file.Length;
    }

    private static async Task<GetObjectResponse> OpenAsync(AmazonS3Client client, string url)
    {
        var parts = url["s3://".Length..].Split('/', 2);
        try
        {
            return await client.GetObjectAsync(parts[0], parts[1]);
        }
        catch (AmazonS3Exception error)
        {
            throw S3(error.Message, (int)error.StatusCode, error.ErrorCode);
        }
    }

    private static RedshiftFailure S3(string message, int status, string code) => new(
        "XX000", string.Create(CultureInfo.InvariantCulture, $"S3ServiceException:{message},Status {status},Error {code},Rid 0,ExtRid 0,CanRetry 1"), "error: S3ServiceException code: 8001 context: S3 key being read");

    // Columns are found by their place: as many as are named, each of the type that the table has.
    private static async Task<long> RowsAsync(string path, string url, IReadOnlyList<RedshiftDeclared> columns, MemoryStream lines)
    {
        await using var data = new DuckDBConnection("Data Source=:memory:");
        await data.OpenAsync();
        await RunAsync(data, "SET TimeZone = 'UTC'");
        var found = new List<(string Name, string Physical, string Converted, string Scale)>();
        await foreach (var row in SelectAsync(data, $"SELECT name, type, coalesce(converted_type, ''), coalesce(scale, 0) FROM parquet_schema('{path}') WHERE num_children IS NULL"))
        {
            found.Add((row[0]!, row[1]!, row[2]!, row[3]!));
        }

        if (found.Count != columns.Count)
        {
            throw new RedshiftFailure("XX000", "Spectrum Scan Error", $"error: Spectrum Scan Error code: 15007 context: Unmatched number of columns between table and file. Table columns: {columns.Count}, Data columns: {found.Count}, File name: {url}");
        }

        var selected = new List<string>();
        for (var at = 0; at < columns.Count; at++)
        {
            var name = $"\"{found[at].Name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
            var type = columns[at].Type;
            if (!Fits(type, found[at]))
            {
                throw new RedshiftFailure("XX000", "Spectrum Scan Error", $"error: Spectrum Scan Error code: 15007 context: File '{url}' has an incompatible Parquet schema for column '{columns[at].Name}'. Column type: {type}, Parquet schema: optional {found[at].Physical} {found[at].Converted} query: 1 location: dory_util.cpp:1777");
            }

            if (type.StartsWith("var", StringComparison.Ordinal))
            {
                var most = int.Parse(type[(type.IndexOf('_', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture);
                await foreach (var row in SelectAsync(data, $"SELECT coalesce(max({(type.StartsWith("varbyte", StringComparison.Ordinal) ? "octet_length" : "strlen")}({name})), 0) FROM read_parquet('{path}')"))
                {
                    if (int.Parse(row[0]!, CultureInfo.InvariantCulture) > most)
                    {
                        // https://docs.aws.amazon.com/redshift/latest/dg/r_Load_Error_Reference.html
                        throw new RedshiftLoadFailure(url, columns[at].Name, "varchar", 1204, "String length exceeds DDL length");
                    }
                }
            }

            selected.Add(type.StartsWith("varbyte", StringComparison.Ordinal) ? $"'\\x' || lower(hex({name}))" : $"CAST({name} AS VARCHAR)");
        }

        var count = 0L;
        await foreach (var row in SelectAsync(data, $"SELECT {string.Join(", ", selected)} FROM read_parquet('{path}')"))
        {
            lines.Write(Encoding.UTF8.GetBytes(string.Join('\t', row.Select(Escaped)) + "\n"));
            count++;
        }

        return count;
    }

    // A file's type has to be the column's; there are no unsigned ones.
    private static bool Fits(string type, (string Name, string Physical, string Converted, string Scale) file) => (type.Split('_', '(')[0], file.Physical, file.Converted) switch
    {
        (_, _, ['U', 'I', 'N', 'T', ..]) => false,
        ("int2", "INT32", "INT_16" or "INT_8") => true,
        ("int4", "INT32", "" or "INT_32" or "INT_16") => true,
        ("int8", "INT64", "" or "INT_64") => true,
        ("float4", "FLOAT", _) or ("float8", "DOUBLE", _) or ("bool", "BOOLEAN", _) => true,
        ("varchar", "BYTE_ARRAY", "UTF8") => true,
        ("varbyte", "BYTE_ARRAY", "") => true,
        ("numeric", _, "DECIMAL") => type.EndsWith($",{file.Scale})", StringComparison.Ordinal),
        ("date", "INT32", "DATE") => true,
        ("timestamptz" or "timestamp", "INT64", "TIMESTAMP_MICROS") => true,
        _ => false,
    };

    private static string Escaped(string? value) => value is null ? "\\N" : value.Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("\t", "\\t", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal).Replace("\r", "\\r", StringComparison.Ordinal);

    private static async Task RunAsync(DuckDBConnection data, string sql)
    {
        await using var command = data.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    private static async IAsyncEnumerable<List<string?>> SelectAsync(DuckDBConnection data, string sql)
    {
        await using var command = data.CreateCommand();
        command.CommandText = $"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql})";
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            yield return [.. Enumerable.Range(0, reader.FieldCount).Select(at => reader.IsDBNull(at) ? null : reader.GetString(at))];
        }
    }

    [GeneratedRegex("""^\s*COPY\s+(?<table>(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))?)\s*\((?<columns>(?:"(?:[^"]|"")+"|[^)"])+)\)\s*FROM\s+(?<from>'(?:[^']|'')*')(?<options>.*)$""", RegexOptions.IgnoreCase | RegexOptions.Singleline)]
    private static partial Regex Statement();

    [GeneratedRegex("'(?:[^']|'')*'")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Words();

    [GeneratedRegex(@"FORMAT\s+(AS\s+)?PARQUET", RegexOptions.IgnoreCase)]
    private static partial Regex Format();

    [GeneratedRegex("IAM_ROLE\\s+(?<role>default|'[^']*')", RegexOptions.IgnoreCase)]
    private static partial Regex Role();

    [GeneratedRegex("ACCESS_KEY_ID\\s+'(?<key>[^']*)'\\s+SECRET_ACCESS_KEY\\s+'(?<secret>[^']*)'", RegexOptions.IgnoreCase)]
    private static partial Regex Key();
}

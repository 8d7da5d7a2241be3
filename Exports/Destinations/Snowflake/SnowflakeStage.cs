using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Destinations.Staging;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>The bucket, as the exporter writes to it and as Snowflake reads it.</summary>
internal sealed record SnowflakeFiles(StagedFiles Files, SnowflakeStage Stage);

/// <summary>How Snowflake reads staged files: through a stage, an integration, or keys in the statement.</summary>
internal sealed class SnowflakeStage(SnowflakeOptions options, S3Options s3) : IDisposable
{
    private readonly SemaphoreSlim _one = new(1);
    private string? _stageUrl;

    /// <summary>The end of a COPY statement, from FROM on: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table. Has keys in it where
    /// neither a stage nor an integration is given.</summary>
    public async Task<string> CopyFromAsync(ISnowflakeClient client, string key, CancellationToken cancellationToken)
    {
        var folder = key[..(key.LastIndexOf('/') + 1)];
        string location;
        if (options.Stage is { } stage)
        {
            location = SnowflakeName.Literal("@" + StageName(stage) + "/" + await BelowStageAsync(client, folder, cancellationToken).ConfigureAwait(false));
        }
        else
        {
            location = SnowflakeName.Literal($"s3://{s3.Bucket}/{folder}") + (options.StorageIntegration is { } integration
                ? $" STORAGE_INTEGRATION = {SnowflakeName.Quoted(SnowflakeName.Of(integration))}"
                : $" CREDENTIALS = (AWS_KEY_ID = {SnowflakeName.Literal(options.CopyAccessKey ?? options.StageAccessKey)} AWS_SECRET_KEY = {SnowflakeName.Literal(options.CopySecretKey ?? options.StageSecretKey)})");
        }

        // Without NULL_IF a text "\N" would become NULL.
        return $"FROM {location} FILES = ({SnowflakeName.Literal(key[folder.Length..])})"
            + " FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE USE_VECTORIZED_SCANNER = TRUE BINARY_AS_TEXT = FALSE NULL_IF = ())"
            + " MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT";
    }

    public void Dispose() => _one.Dispose();

    private string StageName(string stage)
    {
        var path = SnowflakeName.Path(stage.TrimStart('@'));
        return SnowflakeName.Quoted((string[])[.. new[] { options.DatabaseName, options.SchemaName }.Take(3 - path.Count), .. path]);
    }

    // A stage may begin further down than the bucket: https://docs.snowflake.com/en/sql-reference/sql/desc-stage says where.
    private async Task<string> BelowStageAsync(ISnowflakeClient client, string folder, CancellationToken cancellationToken)
    {
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            _stageUrl ??= UrlOf(await client.ExecuteAsync($"DESCRIBE STAGE {StageName(options.Stage!)}", cancellationToken).ConfigureAwait(false));
        }
        finally
        {
            _one.Release();
        }

        var scheme = _stageUrl.IndexOf("://", StringComparison.Ordinal);
        var place = _stageUrl[(scheme < 0 ? 0 : scheme + 3)..].TrimEnd('/') + "/";
        var whole = $"{s3.Bucket}/{folder}";
        return whole.StartsWith(place, StringComparison.Ordinal)
            ? whole[place.Length..]
            : throw new UserErrorException(
                SnowflakeOptions.StageSetting, $"The stage {options.Stage} is at \"{_stageUrl}\", and files are staged in {whole}.", "Give bucket and prefix so that they lie below the stage's URL, or another stage.");
    }

    private static string UrlOf(SnowflakeResult properties)
    {
        for (var row = 0; row < properties.Rows.Count; row++)
        {
            if (properties.Value(row, "property") == "URL" && properties.Value(row, "parent_property") == "STAGE_LOCATION")
            {
                return (properties.Value(row, "property_value") ?? "").Trim('[', ']', '"');
            }
        }

        return "";
    }
}

using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Parquet files on their way into Snowflake, in a bucket. A file's name has the claim that wrote it and is never used again: to COPY, other
/// bytes under an old name are a new file.
/// </summary>
internal sealed class StagedFiles(SnowflakeOptions options, S3Options s3) : IDisposable
{
    private const string Extension = ".parquet";

    private readonly S3Bucket _bucket = new(s3, http: null);
    private readonly SliceKeys _keys = new(SnowflakeOptions.StagePrefix + S3Options.PrefixSetting, s3.Prefix, Extension);
    private readonly SemaphoreSlim _one = new(1);
    private string? _stageUrl;

    /// <summary>The bucket, for messages.</summary>
    public string Place => s3.Bucket;

    public S3Options Options => s3;

    /// <summary>Where a claim's file lies.</summary>
    public string Key(SliceAddress address, string claim) => Start(address) + claim + Extension;

    /// <summary>Where the check's file lies.</summary>
    public string CheckKey(Guid id) => $"{_keys.Start}.exporter-check-{id:N}{Extension}";

    /// <summary>Begins a file.</summary>
    public ISliceSink Open(FormatOptions format, Schema schema, SliceAddress address, string key) => new S3SliceSink(_bucket, format, schema, address, key, before: null);

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

    public Task RemoveAsync(string key, CancellationToken cancellationToken) => _bucket.DeleteAsync(key, cancellationToken);

    /// <summary>Removes what dead attempts left of a slice; they can no longer complete an upload.</summary>
    public Task RemoveAsync(SliceAddress address, CancellationToken cancellationToken) => RemoveAllAsync(Start(address), cancellationToken);

    /// <summary>Removes what is left of an interval.</summary>
    public Task RemoveAsync(RunManifest manifest, CancellationToken cancellationToken) =>
        RemoveAllAsync(_keys.Folder(manifest.Export, manifest.Interval, manifest.Table) + "slice-", cancellationToken);

    public ExportError? Classify(Exception error) => S3Errors.Sort(error, s3) is { } sorted
        ? sorted with { Setting = sorted.Setting is { } setting && error is not UserErrorException ? SnowflakeOptions.StagePrefix + setting : sorted.Setting }
        : null;

    public void Dispose()
    {
        _bucket.Dispose();
        _one.Dispose();
    }

    private string Start(SliceAddress address) =>
        _keys.Folder(address.Export, address.Interval, address.Table) + string.Create(CultureInfo.InvariantCulture, $"slice-{address.Slice:D5}-");

    private string StageName(string stage)
    {
        var path = SnowflakeName.Path(stage.TrimStart('@'));
        return SnowflakeName.Quoted((string[])[.. new[] { options.DatabaseName, options.SchemaName }.Take(3 - path.Count), .. path]);
    }

    private async Task RemoveAllAsync(string start, CancellationToken cancellationToken)
    {
        await foreach (var (key, upload) in _bucket.UploadsAsync(start, cancellationToken).ConfigureAwait(false))
        {
            await _bucket.AbortAsync(key, upload, cancellationToken).ConfigureAwait(false);
        }

        await foreach (var (key, _) in _bucket.ObjectsAsync(start, cancellationToken).ConfigureAwait(false))
        {
            await _bucket.DeleteAsync(key, cancellationToken).ConfigureAwait(false);
        }
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

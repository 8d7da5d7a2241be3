using System.Globalization;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>Does in small, step by step, what an export does to bucket and table, and takes it back.</summary>
internal sealed class SnowflakeCheck(SnowflakeDestination destination, SnowflakeOptions options, ISnowflakeClient client, SnowflakeFiles bucket, FormatOptions format)
{
    private const string Value = "naïve 東京";

    private static readonly SliceAddress Nothing = new("exporter-check", new DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddHours(1)), 0, 1, 1);
    private readonly Guid _id = Guid.NewGuid();
    private bool _made;
    private bool _staged;

    private string Table => options.InSchema($"_EXPORTER_CHECK_{_id:N}".ToUpperInvariant());

    private string Key => bucket.Files.CheckKey(_id);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [("connect", ConnectAsync), ("permissions", MayWriteAsync), ("write", WriteAsync), ("read back", ReadAsync), ("clean up", CleanUpAsync)],
        () => RemoveAsync(CancellationToken.None),
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        var found = await client.ExecuteAsync("SELECT CURRENT_VERSION() AS \"VERSION\", CURRENT_ROLE() AS \"ROLE\", CURRENT_WAREHOUSE() AS \"WAREHOUSE\"", cancellationToken).ConfigureAwait(false);
        var warehouse = found.Value(0, "WAREHOUSE") ?? throw new UserErrorException(
            SnowflakeOptions.WarehouseSetting, $"There is no warehouse {options.WarehouseName}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name.");
        return $"Snowflake {found.Value(0, "VERSION")} at {options.Url.Host}, role {found.Value(0, "ROLE")}, warehouse {warehouse}.";
    }

    private async Task<string> MayWriteAsync(CancellationToken cancellationToken)
    {
        await client.ExecuteAsync($"CREATE TRANSIENT TABLE {Table} (\"VALUE\" VARCHAR) DATA_RETENTION_TIME_IN_DAYS = 0", cancellationToken).ConfigureAwait(false);
        _made = true;
        var target = options.Table.Contains("{export}", StringComparison.Ordinal) ? null : options.InSchema(SnowflakeName.Of(options.Table));
        var there = target is null ? null : await SnowflakeTarget.FindAsync(client, target, cancellationToken).ConfigureAwait(false);
        return $"Tables may be created in {options.DatabaseName}.{options.SchemaName}{(there is null ? "" : $"; {options.Table} is there")}.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        var schema = new Schema([new Field("VALUE", StringType.Default, nullable: true)], null);
        var file = bucket.Files.Open(format, schema, Nothing, Key);
        await using (file.ConfigureAwait(false))
        {
            using var batch = new RecordBatch(schema, [new StringArray.Builder().Append(Value).Build()], 1);
            await file.WriteAsync(batch, cancellationToken).ConfigureAwait(false);
            await file.CommitAsync(cancellationToken).ConfigureAwait(false);
            _staged = true;
        }

        var from = await bucket.Stage.CopyFromAsync(client, Key, cancellationToken).ConfigureAwait(false);
        await client.ExecuteAsync($"COPY INTO {Table} {from}", cancellationToken).ConfigureAwait(false);
        return $"A file was staged in {bucket.Files.Place} and copied from there.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var found = await client.ExecuteAsync($"SELECT \"VALUE\" FROM {Table}", cancellationToken).ConfigureAwait(false);
        return found.Rows.Count == 1 && found.Value(0, "VALUE") == Value
            ? "It was read back."
            : throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"Another text came back than was written, in {found.Rows.Count} rows."));
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await RemoveAsync(cancellationToken).ConfigureAwait(false);
        return "Table and file were removed; nothing is left.";
    }

    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        if (_made)
        {
            await client.ExecuteAsync($"DROP TABLE IF EXISTS {Table}", cancellationToken).ConfigureAwait(false);
            _made = false;
        }

        if (_staged)
        {
            await bucket.Files.RemoveAsync(Key, cancellationToken).ConfigureAwait(false);
            _staged = false;
        }
    }
}

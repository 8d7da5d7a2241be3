using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Destinations.Staging;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>Does in small, step by step, what an export does to bucket and table, and takes it back.</summary>
internal sealed class RedshiftCheck(RedshiftDestination destination, RedshiftConnections server, StagedFiles? files, FormatOptions format)
{
    private const string Value = "naïve 東京";

    private static readonly SliceAddress Nothing = new("exporter-check", new DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddHours(1)), 0, 1, 1);
    private readonly Guid _id = Guid.NewGuid();
    private RedshiftSession? _session;
    private bool _made;
    private bool _staged;

    private RedshiftOptions Options => server.Options;

    private string TableName => $"_exporter_check_{_id:N}";

    private string Table => Options.InSchema(TableName);

    private string Key => files!.CheckKey(_id);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [("connect", ConnectAsync), ("permissions", MayWriteAsync), ("write", WriteAsync), ("read back", ReadAsync), ("clean up", CleanUpAsync)],
        CloseAsync,
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        _session = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
        var version = (string)(await _session.ExecuteAsync(new("SELECT VERSION()"), cancellationToken).ConfigureAwait(false))[0][0]!;
        var redshift = version.IndexOf("Redshift", StringComparison.Ordinal);
        if (redshift < 0)
        {
            throw new UserErrorException(RedshiftOptions.HostSetting, $"{Options.Place} is no Redshift: {version}.", "Give Redshift's endpoint; for PostgreSQL there is the kind postgres.");
        }

        var secure = Options.SslMode is "verify-full" or "verify-ca" ? "with a verified certificate" : $"with ssl_mode {Options.SslMode}";
        return $"{version[redshift..]} at {Options.Place}, database {Options.Database}, {secure}.";
    }

    private async Task<string> MayWriteAsync(CancellationToken cancellationToken)
    {
        await new RedshiftTarget(Options, TableName).CheckSchemaAsync(_session!, cancellationToken).ConfigureAwait(false);
        await _session!.ExecuteAsync(new($"CREATE TABLE {Table} (value VARCHAR(100))"), cancellationToken).ConfigureAwait(false);
        _made = true;
        var target = Options.Table.Contains("{export}", StringComparison.Ordinal) ? null : Options.TableOf("");
        var there = target is null ? null : await RedshiftTarget.FindAsync(_session, Options.SchemaName, target, cancellationToken).ConfigureAwait(false);
        return $"Tables may be created in schema {Options.SchemaName}{(there is null ? "" : $"; {target} is there")}.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        // As an export does: behind a lock, in one transaction, in one request.
        if (files is null)
        {
            await _session!.TransactAsync([new($"LOCK TABLE {Table}"), new($"INSERT INTO {Table} (value) VALUES ($1)", Value)], cancellationToken).ConfigureAwait(false);
            return $"A row was inserted into {Options.SchemaName}.{TableName}.";
        }

        var schema = new Schema([new Field("value", StringType.Default, nullable: true)], null);
        var file = files.Open(format, schema, Nothing, Key);
        await using (file.ConfigureAwait(false))
        {
            using var batch = new RecordBatch(schema, [new StringArray.Builder().Append(Value).Build()], 1);
            await file.WriteAsync(batch, cancellationToken).ConfigureAwait(false);
            var receipt = await file.CommitAsync(cancellationToken).ConfigureAwait(false);
            _staged = true;
            await CopyLoad.WriteManifestAsync(files, Key, receipt.Bytes, cancellationToken).ConfigureAwait(false);
        }

        var copy = $"COPY {Table} (value) FROM {RedshiftName.Literal(files.Url(CopyLoad.ManifestOf(Key)))} {Options.Authorization()} MANIFEST FORMAT AS PARQUET";
        await _session!.TransactAsync([new($"LOCK TABLE {Table}"), new(copy), RedshiftStatements.CheckCopied(1)], cancellationToken).ConfigureAwait(false);
        return $"A file was staged in {files.Place} and copied from there.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var found = await _session!.ExecuteAsync(new($"SELECT value FROM {Table}"), cancellationToken).ConfigureAwait(false);
        return found is [[Value]] ? "It was read back." : throw new InvalidDataException($"Another text came back than was written, in {found.Count} rows.");
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await RemoveAsync(cancellationToken).ConfigureAwait(false);
        return files is null ? "The table was dropped; nothing is left." : "Table and file were removed; nothing is left.";
    }

    private async Task CloseAsync()
    {
        if (_session is { } session)
        {
            await session.DisposeAsync().ConfigureAwait(false);
            await RemoveAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        // The session of the steps may have failed in the midst of a transaction.
        if (_made)
        {
            var session = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = session.ConfigureAwait(false);
            await session.ExecuteAsync(new($"DROP TABLE IF EXISTS {Table}"), cancellationToken).ConfigureAwait(false);
            _made = false;
        }

        if (_staged)
        {
            await files!.RemoveAsync(CopyLoad.ManifestOf(Key), cancellationToken).ConfigureAwait(false);
            await files.RemoveAsync(Key, cancellationToken).ConfigureAwait(false);
            _staged = false;
        }
    }
}

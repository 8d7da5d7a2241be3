using Apache.Arrow;
using Apache.Arrow.Types;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Does in small, step by step, what an export does to a database, and takes it back.</summary>
internal sealed class PostgresCheck(PostgresDestination destination, PostgresOptions options, NpgsqlDataSource data)
{
    private const string Value = "naïve 東京";
    private readonly string _name = $"_exporter_check_{Guid.NewGuid():N}";
    private bool _mayCreate;
    private NpgsqlConnection? _connection;

    private string Table => _mayCreate ? Quoted.In(options.Schema, _name) : Quoted.Name(_name);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [("connect", ConnectAsync), ("permissions", MayWriteAsync), ("write", WriteAsync), ("read back", ReadAsync), ("clean up", CleanUpAsync)],
        RemoveAsync,
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        _connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        var read = await RowAsync("select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', current_setting('server_encoding')", [], cancellationToken).ConfigureAwait(false);
        if (read[0] is true)
        {
            throw new UserErrorException(
                PostgresOptions.HostSetting, $"{options.Place} is read-only for {options.Username}.", "Give the primary server, and leave default_transaction_read_only off.");
        }

        var secure = options.SslMode is "verify-full" or "verify-ca" ? "with a verified certificate" : $"with ssl_mode {options.SslMode}";
        return $"PostgreSQL {_connection.PostgreSqlVersion} at {options.Place}, database {options.Database} in {read[1]}, {secure}.";
    }

    private async Task<string> MayWriteAsync(CancellationToken cancellationToken)
    {
        var found = await RowAsync(
            """
            with schema as (select oid from pg_namespace where nspname = $1),
              relation as (select oid, relname from pg_class where relnamespace = (select oid from schema))
            select exists (select from schema),
              coalesce((select has_schema_privilege(oid, 'usage') from schema), false),
              coalesce((select has_schema_privilege(oid, 'create') from schema), false),
              has_database_privilege(current_database(), 'temp'),
              (select bool_and(has_table_privilege(r.oid, p.name)) from relation r, unnest(array['select', 'insert', 'update', 'delete']) p (name) where relname = $2)
                and (select has_sequence_privilege(oid, 'usage') from relation where relname = $3),
              (select has_table_privilege(oid, 'insert') from relation where relname = $4)
            """,
            [options.Schema, CommitsTable.TableName, CommitsTable.SequenceName, options.Table],
            cancellationToken).ConfigureAwait(false);
        if (found[0] is false)
        {
            throw new UserErrorException(PostgresOptions.SchemaSetting, $"There is no schema \"{options.Schema}\" in database {options.Database}.", "Create it, or correct its name.");
        }

        _mayCreate = found[2] is true;
        Demand(found[1] is true, $"may not use schema {options.Schema}", $"grant usage on schema {Quoted.Name(options.Schema)} to {Quoted.Name(options.Username)}");
        Demand(
            _mayCreate || found[4] is true,
            $"may not create tables in schema {options.Schema}, and {CommitsTable.TableName} is not there for it",
            $"grant create on schema {Quoted.Name(options.Schema)} to {Quoted.Name(options.Username)}");
        Demand(
            found[3] is true || (!options.IsMerge && _mayCreate),
            $"may not create temporary tables in {options.Database}",
            $"grant temporary on database {Quoted.Name(options.Database)} to {Quoted.Name(options.Username)}");
        Demand(found[5] is not false, $"may not insert into {options.Schema}.{options.Table}", $"grant select, insert, update, delete on {Quoted.In(options.Schema, options.Table)} to {Quoted.Name(options.Username)}");
        return _mayCreate ? $"Tables may be created in schema {options.Schema}." : $"{CommitsTable.TableName} may be written; tables may not be created.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        await ExecuteAsync($"create {(_mayCreate ? "" : "temporary ")}table {Table} (value text)", cancellationToken).ConfigureAwait(false);
        var copy = await _connection!.BeginRawBinaryCopyAsync($"copy {Table} (value) from stdin (format binary)", cancellationToken).ConfigureAwait(false);
        await using (copy.ConfigureAwait(false))
        {
            var schema = new Schema([new Field("value", StringType.Default, nullable: true)], null);
            using var batch = new RecordBatch(schema, [new StringArray.Builder().Append(Value).Build()], 1);
            var encoder = new CopyEncoder([PostgresType.Text], provenance: null);
            await copy.WriteAsync(encoder.Encode(encoder.Cells(batch), 0, 1, int.MaxValue).Bytes, cancellationToken).ConfigureAwait(false);
            await copy.WriteAsync(encoder.End(), cancellationToken).ConfigureAwait(false);
        }

        return $"A row was copied to {(_mayCreate ? $"the table {options.Schema}.{_name}" : "a temporary table")}.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken) =>
        (await RowAsync($"select value from {Table}", [], cancellationToken).ConfigureAwait(false))[0] is Value
            ? "It was read back."
            : throw new UserErrorException(PostgresOptions.DatabaseSetting, "Another text came back than was written.", "Use a database in the encoding UTF8.");

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await ExecuteAsync($"drop table {Table}", cancellationToken).ConfigureAwait(false);
        return "The table was dropped; nothing is left.";
    }

    private async Task RemoveAsync()
    {
        if (_connection is { } connection)
        {
            _connection = null;
            await using var closing = connection.ConfigureAwait(false);
            var drop = Statements.Command(connection, null, $"drop table if exists {Table}");
            await using var disposing = drop.ConfigureAwait(false);
            await drop.ExecuteNonQueryAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    private void Demand(bool granted, string what, string grant)
    {
        if (!granted)
        {
            throw new UserErrorException(PostgresOptions.UsernameSetting, $"{options.Username} {what}.", $"As an owner: {grant}.");
        }
    }

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        var command = Statements.Command(_connection!, null, sql);
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task<object[]> RowAsync(string sql, object[] values, CancellationToken cancellationToken)
    {
        var command = Statements.Command(_connection!, null, sql, values);
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        var row = new object[reader.FieldCount];
        reader.GetValues(row);
        return row;
    }
}

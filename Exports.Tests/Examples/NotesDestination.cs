using System.Text;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Tests.Examples;

#region README options
/// <summary>What can be set. Names are snake_case; the command line, the YAML file and the help follow from the kind.</summary>
internal sealed record NotesOptions
{
    public static DestinationKind Kind { get; } = new()
    {
        Name = "notes",
        Description = "Rows as JSON in the table notes of a PostgreSQL database.",
        Settings =
        [
            new("connection_string", SettingType.Text, "The database, as Npgsql has it.") { Secret = true, Required = true },
            new("timeout_seconds", SettingType.Number, "Seconds until a statement must be done. Default 30; from 1 to 3600."),
        ],
        Open = (destination, _) => new NotesDestination(DestinationOptions.Read<NotesOptions>(destination).Validate()),
    };

    public required string ConnectionString { get; init; }

    public int TimeoutSeconds { get; init; } = 30;

    public NotesOptions Validate()
    {
        ModelCheck.Range("timeout_seconds", TimeoutSeconds, 1, 3_600);
        return this;
    }
}
#endregion

#region README destination
/// <summary>One instance serves one run in one process; several slices are open at once.</summary>
internal sealed class NotesDestination(NotesOptions options) : IDestination
{
    private const string Tables =
        """
        create table if not exists notes (export text, interval text, slice integer, row jsonb);
        create table if not exists notes_commits (
          export text, interval text, slice integer, token bigint not null, rows bigint not null, primary key (export, interval, slice))
        """;

    private readonly NpgsqlDataSource _data = NpgsqlDataSource.Create(
        new NpgsqlConnectionStringBuilder(options.ConnectionString) { CommandTimeout = options.TimeoutSeconds });

    // Step by step what an export will do; the first that fails says what to mend.
    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        this,
        [
            ("connect", async token => $"PostgreSQL {await ScalarAsync("show server_version", token)} answers."),
            ("permissions", async token => $"The tables are there.{await ScalarAsync(Tables, token)}"),
            ("write", async token => $"A row was written.{await ScalarAsync("insert into notes (export) values ('exporter-check')", token)}"),
            ("read back", async token => $"{await ScalarAsync("select count(*) from notes where export = 'exporter-check'", token)} row came back."),
            ("clean up", async token => $"Nothing is left behind.{await RemoveCheckAsync(token)}"),
        ],
        () => RemoveCheckAsync(CancellationToken.None),
        cancellationToken);

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        await ScalarAsync(Tables, cancellationToken);
        return new NotesSink(_data, address, schema);
    }

    // Rows of slices that an earlier export of the interval had and this one has not.
    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        await using var delete = _data.CreateCommand(
            """
            with stale as (delete from notes_commits where export = $1 and interval = $2 and slice <> all ($3))
            delete from notes where export = $1 and interval = $2 and slice <> all ($3)
            """);
        delete.Parameters.AddWithValue(manifest.Export);
        delete.Parameters.AddWithValue(manifest.Interval.ToKey());
        delete.Parameters.AddWithValue(manifest.Slices.Select(slice => slice.Slice).ToArray());
        await delete.ExecuteNonQueryAsync(cancellationToken);
    }

    // Who has to act: whatever is not sorted here counts as a bug, and is tried again.
    public ExportError? Classify(Exception exception) => exception switch
    {
        PostgresException { SqlState: PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidCatalogName or PostgresErrorCodes.InsufficientPrivilege } error =>
            new(ErrorKind.User, error.MessageText, "connection_string", "Correct user, password and database, and let the user create tables."),
        NewerAttemptException => new(ErrorKind.Transient, exception.Message),
        NpgsqlException { IsTransient: true } or TimeoutException => new(ErrorKind.Transient, exception.Message),
        _ => null,
    };

    public ValueTask DisposeAsync() => _data.DisposeAsync();

    private Task<object?> RemoveCheckAsync(CancellationToken token) => ScalarAsync("delete from notes where export = 'exporter-check'", token);

    private async Task<object?> ScalarAsync(string sql, CancellationToken cancellationToken)
    {
        await using var command = _data.CreateCommand(sql);
        return await command.ExecuteScalarAsync(cancellationToken);
    }
}
#endregion

#region README sink
/// <summary>
/// A slice on its way. Its rows and its row in notes_commits come in one transaction: a repeat replaces the rows, and an attempt
/// that another has overtaken, known by the token, changes nothing.
/// </summary>
internal sealed class NotesSink(NpgsqlDataSource data, SliceAddress address, Schema schema) : ISliceSink
{
    private readonly MemoryStream _lines = new();
    private long _rows;

    public ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        using var encoder = EncoderFactory.Create(new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None }, schema, _lines);
        encoder.Encode(batch);
        encoder.Complete();
        _rows += batch.Length;
        return ValueTask.CompletedTask;
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        await using var connection = await data.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var won = await ExecuteAsync(
            """
            insert into notes_commits (export, interval, slice, token, rows) values ($1, $2, $3, $4, $5)
            on conflict (export, interval, slice) do update set token = excluded.token, rows = excluded.rows
            where notes_commits.token <= excluded.token
            """,
            address.FencingToken,
            _rows);
        if (won == 0)
        {
            throw new NewerAttemptException($"A newer attempt has committed slice {address.Slice}.");
        }

        await ExecuteAsync("delete from notes where export = $1 and interval = $2 and slice = $3");
        var rows = Encoding.UTF8.GetString(_lines.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        await ExecuteAsync("insert into notes select $1, $2, $3, row::jsonb from unnest($4) as row", (object)rows);
        await transaction.CommitAsync(cancellationToken);
        return new SliceReceipt { Slice = address.Slice, Rows = _rows, Bytes = _lines.Length };

        async Task<int> ExecuteAsync(string sql, params object[] more)
        {
            await using var command = new NpgsqlCommand(sql, connection, transaction);
            foreach (var value in (object[])[address.Export, address.Interval.ToKey(), address.Slice, .. more])
            {
                command.Parameters.AddWithValue(value);
            }

            return await command.ExecuteNonQueryAsync(cancellationToken);
        }
    }

    public ValueTask DisposeAsync() => _lines.DisposeAsync();
}

/// <summary>A former holder of the run came back.</summary>
internal sealed class NewerAttemptException(string message) : Exception(message);
#endregion

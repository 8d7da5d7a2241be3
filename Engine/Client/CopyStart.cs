using System.Text.Json;
using Exporter.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Client;

/// <summary>
/// Starts runs without idempotency keys in the caller's transaction by COPY, which is the quickest way in; it cannot leave out
/// what is there already. Columns that no run has a value for are left to their defaults.
/// </summary>
internal sealed class CopyStart(NpgsqlTransaction transaction, string workflow)
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(CopyStart).Assembly, "sql/client.sql");

    public async Task StartAsync(IReadOnlyList<NewRun> runs, CancellationToken cancellationToken)
    {
        var clock = new NpgsqlCommand(Sql["Clock"], transaction.Connection, transaction);
        DateTime now;
        await using (clock.ConfigureAwait(false))
        {
            now = (DateTime)(await clock.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
        }

        await CopyAsync("engine.run", Run(), runs, cancellationToken).ConfigureAwait(false);
        await CopyAsync("engine.live_run", Live(now), runs, cancellationToken).ConfigureAwait(false);
    }

    private Column[] Run() =>
    [
        .. Both(),
        Column.Of("input", NpgsqlDbType.Bytea, run => run.Input),
        Column.Of("tags", NpgsqlDbType.Jsonb, run => run.Options.Tags.Count == 0 ? null : JsonSerializer.Serialize(run.Options.Tags), "{}"),
        Column.Of("start_at", NpgsqlDbType.TimestampTz, run => run.Options.StartAt?.UtcDateTime),
        Column.Of("execution_timeout", NpgsqlDbType.Interval, run => run.Options.ExecutionTimeout),
        Column.Of("retry", NpgsqlDbType.Jsonb, run => run.Options.Retry is null ? null : StoredRetry.Of(run.Options.Retry)),
    ];

    private Column[] Live(DateTime now) =>
    [
        .. Both(),
        Column.Of("state", null, run => run.Options.StartAt?.UtcDateTime > now ? "waiting" : "queued"),
        Column.Of("due_at", NpgsqlDbType.TimestampTz, run => (DateTime?)Due(run, now)),
        Column.Of("deadline_at", NpgsqlDbType.TimestampTz, run => run.Options.ExecutionTimeout is null ? null : Due(run, now) + run.Options.ExecutionTimeout),
        Column.Of("version", NpgsqlDbType.Integer, run => run.Options.Version),
    ];

    private Column[] Both() =>
    [
        Column.Of("run_id", NpgsqlDbType.Uuid, run => (Guid?)run.RunId),
        Column.Of("workflow", NpgsqlDbType.Text, _ => workflow),
        Column.Of("queue", NpgsqlDbType.Text, run => run.Options.Queue),
        Column.Of("priority", NpgsqlDbType.Smallint, run => (short?)run.Options.Priority),
        Column.Of("concurrency_key", NpgsqlDbType.Text, run => run.Options.ConcurrencyKey),
        Column.Of("concurrency_limit", NpgsqlDbType.Integer, run => run.Options.ConcurrencyKey is null ? null : (int?)run.Options.ConcurrencyLimit),
    ];

    private static DateTime Due(NewRun run, DateTime now) => run.Options.StartAt?.UtcDateTime ?? now;

    private async Task CopyAsync(string table, Column[] columns, IReadOnlyList<NewRun> runs, CancellationToken cancellationToken)
    {
        var used = Array.FindAll(columns, column => runs.Any(column.IsSet));
        var import = await transaction.Connection!.BeginBinaryImportAsync(
            $"copy {table} ({string.Join(", ", used.Select(column => column.Name))}) from stdin (format binary)", cancellationToken).ConfigureAwait(false);
        await using var ending = import.ConfigureAwait(false);
        foreach (var run in runs)
        {
            await import.StartRowAsync(cancellationToken).ConfigureAwait(false);
            foreach (var column in used)
            {
                await column.WriteAsync(import, run, cancellationToken).ConfigureAwait(false);
            }
        }

        await import.CompleteAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A column of a table, and what a run has there.</summary>
    private sealed record Column(string Name, Func<NewRun, bool> IsSet, Func<NpgsqlBinaryImporter, NewRun, CancellationToken, Task> WriteAsync)
    {
        /// <param name="name">The column's name.</param>
        /// <param name="type">Its type; null for the state of a run.</param>
        /// <param name="value">What a run has there; null: nothing.</param>
        /// <param name="none">What stands there for a run that has nothing, when another has something.</param>
        public static Column Of<T>(string name, NpgsqlDbType? type, Func<NewRun, T?> value, T? none = null)
            where T : class => new(
                name,
                run => value(run) is not null,
                (import, run, token) => (value(run) ?? none) is not { } set ? import.WriteNullAsync(token)
                    : type is { } known ? import.WriteAsync(set, known, token) : import.WriteAsync(set, "engine.run_state", token));

        public static Column Of<T>(string name, NpgsqlDbType type, Func<NewRun, T?> value)
            where T : struct => new(
                name,
                run => value(run) is not null,
                (import, run, token) => value(run) is { } set ? import.WriteAsync(set, type, token) : import.WriteNullAsync(token));
    }
}

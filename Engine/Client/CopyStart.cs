using System.Text.Json;
using Exporter.Engine.Storage;
using Npgsql;

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
        Column.Always("input", (rows, run) => rows.Bytea(run.Input)),
        Column.Of("tags", run => run.Options.Tags.Count > 0 ? run.Options.Tags : null, (rows, tags) => rows.Jsonb(JsonSerializer.Serialize(tags)), rows => rows.Jsonb("{}")),
        Column.Of("start_at", run => run.Options.StartAt, (rows, at) => rows.Timestamptz(at!.Value.UtcDateTime)),
        Column.Of("execution_timeout", run => run.Options.ExecutionTimeout, (rows, timeout) => rows.Interval(timeout!.Value)),
        Column.Of("retry", run => run.Options.Retry, (rows, retry) => rows.Jsonb(StoredRetry.Of(retry!))),
    ];

    private Column[] Live(DateTime now) =>
    [
        .. Both(),
        Column.Always("state", (rows, run) => rows.Text(run.Options.StartAt?.UtcDateTime > now ? "waiting" : "queued")),
        Column.Always("due_at", (rows, run) => rows.Timestamptz(Due(run, now))),
        Column.Of("deadline_at", run => Due(run, now) + run.Options.ExecutionTimeout, (rows, at) => rows.Timestamptz(at!.Value)),
        Column.Of("version", run => run.Options.Version, (rows, version) => rows.Integer(version!.Value)),
    ];

    private Column[] Both() =>
    [
        Column.Always("run_id", (rows, run) => rows.Uuid(run.RunId)),
        Column.Always("workflow", (rows, _) => rows.Text(workflow)),
        Column.Always("queue", (rows, run) => rows.Text(run.Options.Queue)),
        Column.Always("priority", (rows, run) => rows.Smallint(run.Options.Priority)),
        Column.Of("concurrency_key", run => run.Options.ConcurrencyKey, (rows, key) => rows.Text(key!)),
        Column.Of("concurrency_limit", run => run.Options.ConcurrencyKey is null ? null : (int?)run.Options.ConcurrencyLimit, (rows, limit) => rows.Integer(limit!.Value)),
    ];

    private static DateTime Due(NewRun run, DateTime now) => run.Options.StartAt?.UtcDateTime ?? now;

    private async Task CopyAsync(string table, Column[] columns, IReadOnlyList<NewRun> runs, CancellationToken cancellationToken)
    {
        var used = Array.FindAll(columns, column => runs.Any(column.IsSet));
        var rows = await CopyRows.BeginAsync(transaction.Connection!, table, used.Select(column => column.Name), cancellationToken).ConfigureAwait(false);
        await using var ending = rows.ConfigureAwait(false);
        foreach (var run in runs)
        {
            await rows.RowAsync(used.Length, cancellationToken).ConfigureAwait(false);
            foreach (var column in used)
            {
                column.Write(rows, run);
            }
        }

        await rows.CompleteAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A column of a table, and what a run has there.</summary>
    private sealed record Column(string Name, Func<NewRun, bool> IsSet, Action<CopyRows, NewRun> Write)
    {
        public static Column Always(string name, Action<CopyRows, NewRun> write) => new(name, _ => true, write);

        /// <param name="name">The column's name.</param>
        /// <param name="value">What a run has there; null: nothing.</param>
        /// <param name="write">Writes what is not null.</param>
        /// <param name="none">Writes what stands there for a run that has nothing, when another has something. Default null.</param>
        public static Column Of<T>(string name, Func<NewRun, T?> value, Action<CopyRows, T?> write, Action<CopyRows>? none = null) => new(
            name,
            run => value(run) is not null,
            (rows, run) =>
            {
                if (value(run) is { } set)
                {
                    write(rows, set);
                }
                else
                {
                    (none ?? (static rows => rows.Null()))(rows);
                }
            });
    }
}

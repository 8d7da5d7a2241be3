using System.Text.Json;
using Exporter.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Client;

/// <summary>A run to be started with many others.</summary>
/// <param name="runId">Its id.</param>
/// <param name="place">Its place among them.</param>
/// <param name="input">Makes the input of the run at a place.</param>
/// <param name="options">Its options.</param>
internal sealed class NewRun(Guid runId, int place, Func<int, Guid, byte[]> input, StartOptions options)
{
    private byte[]? _input;

    public Guid RunId => runId;

    /// <summary>Made when it is asked for, while the server takes in those before, and not kept: two hundred thousand would be in
    /// the way of the garbage collector.</summary>
    public byte[] Input => _input ?? input(place, runId);

    public StartOptions Options => options;

    /// <summary>Makes the input for good, now.</summary>
    public void Make() => _input ??= input(place, runId);
}

/// <summary>
/// Starts many runs of a workflow in the caller's transaction: by COPY those without idempotency keys, the others a thousand a
/// statement; one notification a queue.
/// </summary>
internal sealed class BulkStart(NpgsqlTransaction transaction, string workflow)
{
    private const int MostRuns = 1000;
    private const int MostBytes = 16 << 20;
    private static readonly SqlFile Sql = SqlFile.Load(typeof(BulkStart).Assembly, "sql/client.sql");

    public async Task<IReadOnlyList<RunHandle>> StartAsync(IReadOnlyList<NewRun> runs, CancellationToken cancellationToken)
    {
        // Of those with keys; the others are all new.
        var started = new HashSet<Guid>();
        var byKey = new Dictionary<string, Guid>(StringComparer.Ordinal);

        var unkeyed = runs.Where(run => run.Options.IdempotencyKey is null).ToList();
        if (unkeyed.Count > 0)
        {
            await new CopyStart(transaction, workflow).StartAsync(unkeyed, cancellationToken).ConfigureAwait(false);
        }

        // Ordered, so that two that start the same keys wait for each other instead of blocking each other.
        var open = runs.Where(run => run.Options.IdempotencyKey is not null).OrderBy(run => run.Options.IdempotencyKey, StringComparer.Ordinal).ToList();
        while (open.Count > 0)
        {
            foreach (var part in Parts(open))
            {
                started.UnionWith(await InsertAsync(part, cancellationToken).ConfigureAwait(false));
            }

            await FindAsync([.. open.Select(run => run.Options.IdempotencyKey!).Distinct()], byKey, cancellationToken).ConfigureAwait(false);

            // Still without a run: the one that had the key was removed just between the two statements.
            open.RemoveAll(run => byKey.ContainsKey(run.Options.IdempotencyKey!));
        }

        bool IsNew(NewRun run) => run.Options.IdempotencyKey is null || started.Contains(run.RunId);
        var queues = runs.Where(IsNew).Select(run => run.Options.Queue).Distinct().Order(StringComparer.Ordinal).ToArray();
        var tell = Command("TellQueues", Of(queues));
        await using var disposing = tell.ConfigureAwait(false);
        await tell.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        return [.. runs.Select(run => IsNew(run)
            ? new RunHandle(run.RunId, IsNew: true)
            : new RunHandle(byKey[run.Options.IdempotencyKey!], IsNew: false))];
    }

    private static IEnumerable<List<NewRun>> Parts(List<NewRun> runs)
    {
        var part = new List<NewRun>();
        var bytes = 0L;
        foreach (var run in runs)
        {
            run.Make();
            if (part.Count == MostRuns || (part.Count > 0 && bytes + run.Input.Length > MostBytes))
            {
                yield return part;
                (part, bytes) = ([], 0);
            }

            part.Add(run);
            bytes += run.Input.Length;
        }

        yield return part;
    }

    private async Task<List<Guid>> InsertAsync(List<NewRun> runs, CancellationToken cancellationToken)
    {
        var command = Command(
            "StartRuns",
            Of(workflow),
            Column(runs, run => run.RunId, NpgsqlDbType.Uuid),
            Column(runs, run => run.Options.Queue, NpgsqlDbType.Text),
            Column(runs, run => run.Options.Priority, NpgsqlDbType.Smallint),
            Column(runs, run => run.Options.IdempotencyKey, NpgsqlDbType.Text),
            Column(runs, run => run.Input, NpgsqlDbType.Bytea),
            Column(runs, run => JsonSerializer.Serialize(run.Options.Tags), NpgsqlDbType.Text),
            Column(runs, run => run.Options.StartAt?.ToUniversalTime(), NpgsqlDbType.TimestampTz),
            Column(runs, run => run.Options.ConcurrencyKey, NpgsqlDbType.Text),
            Column(runs, run => run.Options.ConcurrencyKey is null ? null : (int?)run.Options.ConcurrencyLimit, NpgsqlDbType.Integer),
            Column(runs, run => run.Options.ExecutionTimeout, NpgsqlDbType.Interval),
            Column(runs, run => run.Options.Retry is null ? null : StoredRetry.Of(run.Options.Retry), NpgsqlDbType.Text),
            Column(runs, run => run.Options.Version, NpgsqlDbType.Integer));
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var started = new List<Guid>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            started.Add(reader.GetGuid(0));
        }

        return started;
    }

    private async Task FindAsync(string[] keys, Dictionary<string, Guid> byKey, CancellationToken cancellationToken)
    {
        var command = Command("FindByKeys", Of(workflow), Of(keys));
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            byKey[reader.GetString(0)] = reader.GetGuid(1);
        }
    }

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };

    private static NpgsqlParameter Column<T>(List<NewRun> runs, Func<NewRun, T> value, NpgsqlDbType type) =>
        new() { Value = runs.Select(value).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type };

    private NpgsqlCommand Command(string name, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = new NpgsqlCommand(Sql[name], transaction.Connection, transaction);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }
}

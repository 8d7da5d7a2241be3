using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Storage;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>What became of one call of a worker that had lost its run.</summary>
/// <param name="Call">The call.</param>
/// <param name="After">Whether it was refused after the takeover.</param>
/// <param name="During">Whether it was refused when it met the takeover before that was committed.</param>
/// <param name="First">Whether a takeover that met it, begun and not committed, left the run alone; null for calls of one statement, to which that cannot happen.</param>
internal sealed record StaleWrite(string Call, bool After, bool During, bool? First)
{
    public bool IsRefused => After && During && First != false;

    public override string ToString() => $"{Call,-32} {Word(After),-9} {Word(During),-9} {(First is not { } first ? "-" : first ? "passed by" : "overtaken")}";

    private static string Word(bool refused) => refused ? "refused" : "accepted";
}

/// <summary>
/// Tries every call by which a worker changes a run, or itself, as a zombie: after a takeover, and on a second connection at
/// the very moment of one. Refused means that it says so, and that no row has changed.
/// </summary>
internal sealed class StaleWrites(NpgsqlDataSource data)
{
    public const string Title = "call                             after     during    takeover that meets it";
    public const string OwnRows = "create table mine (run_id uuid not null)";
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);
    private static readonly WorkflowOffer Any = new([("any", 1)]);
    private static readonly SqlFile Sql = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/worker.sql");

    // Each answers whether it was accepted.
    private static readonly Dictionary<string, Func<Zombie, Task<bool>>> Calls = new()
    {
        ["complete"] = zombie => zombie.WriteAsync(WriteKind.Finish, "completed"),
        ["fail"] = zombie => zombie.WriteAsync(WriteKind.Finish, "failed"),
        ["record a step"] = zombie => zombie.WriteAsync(WriteKind.Record),
        ["record a failed attempt"] = zombie => zombie.WriteAsync(WriteKind.FailedAttempt),
        ["open a step, checkpoint"] = zombie => zombie.WriteAsync(WriteKind.OpenStep),
        ["checkpoint with rows"] = zombie => zombie.WriteWithAsync(WriteKind.OpenStep, zombie.AddRowAsync),
        ["step in a transaction"] = zombie => zombie.WriteWithAsync(WriteKind.Record, zombie.AddRowAsync),
        ["take a signal"] = zombie => zombie.WriteWithAsync(WriteKind.Record, zombie.TakeSignalAsync),
        ["start a child"] = zombie => zombie.WriteWithAsync(WriteKind.Record, zombie.StartChildAsync),
        ["set the status"] = zombie => zombie.WriteAsync(WriteKind.Status, "stale"),
        ["give back, wait"] = zombie => zombie.WriteAsync(WriteKind.Leave),
        ["try the run again"] = zombie => zombie.WriteAsync(WriteKind.Retry),
        ["continue as new"] = zombie => zombie.WriteAsync(WriteKind.Continue),
        ["renew the lease"] = zombie => zombie.Store.RenewAsync(Lease),
        ["claim"] = async zombie => (await zombie.Store.ClaimAsync(zombie.Queue, Any, 10, default)).Count > 0,
        ["give back strays"] = async zombie =>
        {
            // It has no answer; the rows tell.
            await zombie.Store.GiveBackStraysAsync([], default);
            return false;
        },
        ["sign off"] = async zombie =>
        {
            await zombie.Store.StopAsync(0, default);
            return false;
        },
    };

    public async Task<List<StaleWrite>> TryAllAsync()
    {
        var tried = new List<StaleWrite>();
        foreach (var (name, call) in Calls)
        {
            tried.Add(new StaleWrite(name, await AfterAsync(call), await DuringAsync(call), await FirstAsync(name)));
        }

        return tried;
    }

    private async Task<bool> AfterAsync(Func<Zombie, Task<bool>> call)
    {
        var zombie = await PrepareAsync();
        await zombie.LoseAsync();
        var other = await zombie.OtherAsync();
        await other.Store.SweepAsync(Lease, default);
        var run = (await other.Store.ClaimAsync(zombie.Queue, Any, 1, default)).Single();
        // What the new holder has committed must stay.
        var checkpoint = new Write(WriteKind.OpenStep, run.RunId, run.Epoch) { Name = "step", Attempt = 1, Payload = [0, 2], Wait = TimeSpan.Zero };
        if (!(await other.Writes.CommitAsync([checkpoint], again: true, default)).Contains((run.RunId, run.Epoch)))
        {
            throw new InvalidOperationException("The new holder's own write was refused.");
        }

        var before = await StoredRows.ReadAsync(data);
        var accepted = await call(zombie);
        return !accepted && before == await StoredRows.ReadAsync(data);
    }

    private async Task<bool> DuringAsync(Func<Zombie, Task<bool>> call)
    {
        var zombie = await PrepareAsync();
        await zombie.LoseAsync();
        await using var connection = await data.OpenConnectionAsync();
        await using var takeover = await connection.BeginTransactionAsync();
        await connection.ExecuteAsync(Sql["MarkLost"], transaction: takeover);
        if ((await connection.QueryAsync(Sql["ReleaseLost"], transaction: takeover)).Count() != 1)
        {
            throw new InvalidOperationException("The takeover took nothing.");
        }

        var before = await StoredRows.ReadAsync(connection);
        var zombies = call(zombie);
        await StoredRows.MetAsync(data, zombies);
        await takeover.CommitAsync();
        var accepted = await zombies;
        return !accepted && before == await StoredRows.ReadAsync(data);
    }

    // The other way round: the write has begun, and holds its run until it is committed.
    private async Task<bool?> FirstAsync(string call)
    {
        if (call is "renew the lease" or "claim" or "give back strays" or "sign off")
        {
            return null;
        }

        var zombie = await PrepareAsync();
        await zombie.LoseAsync();
        var other = await zombie.OtherAsync();
        var freed = -1;
        var kind = call switch
        {
            "complete" or "fail" => WriteKind.Finish,
            "record a failed attempt" => WriteKind.FailedAttempt,
            "open a step, checkpoint" or "checkpoint with rows" => WriteKind.OpenStep,
            "set the status" => WriteKind.Status,
            "give back, wait" => WriteKind.Leave,
            "try the run again" => WriteKind.Retry,
            "continue as new" => WriteKind.Continue,
            _ => WriteKind.Record,
        };
        var accepted = await zombie.WriteWithAsync(kind, async _ => freed = (await other.Store.SweepAsync(Lease, default)).Freed, "failed");
        var left = (await other.Store.SweepAsync(Lease, default)).Freed;
        return accepted && freed == 0 && left == (kind is WriteKind.Finish or WriteKind.Leave or WriteKind.Retry or WriteKind.Continue ? 0 : 1);
    }

    private async Task<Zombie> PrepareAsync()
    {
        var client = TestWorker.ClientOf(data);
        var queue = Guid.NewGuid().ToString("N");
        var runId = (await client.StartAsync("any", 1, new StartOptions { Queue = queue })).RunId;
        await client.SignalAsync(runId, "go", 1);
        var zombie = new Zombie(data, Guid.CreateVersion7(), queue, runId);
        await zombie.Store.RegisterAsync("zombie", queue, 1, Lease, Any, default);
        if ((await zombie.Store.ClaimAsync(queue, Any, 1, default)) is not [{ Epoch: 1 }])
        {
            throw new InvalidOperationException("The run was not claimed.");
        }

        return zombie;
    }

    // A worker that claimed a run under epoch 1 and believes that it still holds it.
    private sealed class Zombie(NpgsqlDataSource data, Guid workerId, string queue, Guid runId)
    {
        public WorkerStore Store { get; } = new(data, workerId);

        public WriteStore Writes { get; } = new(data, workerId);

        public string Queue => queue;

        public async Task LoseAsync()
        {
            await using var connection = await data.OpenConnectionAsync();
            await connection.ExecuteAsync(
                "update engine.worker set lease_until = engine.clock() - interval '1 second' where worker_id = @workerId", new { workerId });
        }

        public async Task<Zombie> OtherAsync()
        {
            var other = new Zombie(data, Guid.CreateVersion7(), queue, runId);
            await other.Store.RegisterAsync("other", queue, 1, Lease, Any, default);
            return other;
        }

        public async Task<bool> WriteAsync(WriteKind kind, string? state = null) =>
            (await Writes.CommitAsync([Write(kind, state)], again: true, default)).Contains((runId, 1));

        public Task<bool> WriteWithAsync(WriteKind kind, Func<NpgsqlTransaction, Task> body, string? state = null) => Writes.CommitWithAsync(
            runId,
            1,
            Lease,
            async (transaction, _) =>
            {
                await body(transaction);
                return Write(kind, state);
            },
            default);

        public Task AddRowAsync(NpgsqlTransaction transaction) =>
            transaction.Connection!.ExecuteAsync("insert into mine values (@runId)", new { runId }, transaction);

        public Task TakeSignalAsync(NpgsqlTransaction transaction) => EventStore.TakeSignalAsync(transaction, runId, "go", 0, default);

        public Task StartChildAsync(NpgsqlTransaction transaction) =>
            new EngineClient(data, new PayloadCodec(KeyRing.Empty)).StartAsync("any", 1, new StartOptions { Queue = queue + " child" }, transaction);

        // It also asks to close what is open: that is the new holder's by now.
        private Write Write(WriteKind kind, string? state) => new(kind, runId, 1)
        {
            Name = "step", Attempt = 1, Payload = kind == WriteKind.FailedAttempt || (state == "failed" && kind == WriteKind.Finish) ? null : [0, 1], ClosesOpen = true,
            Error = kind == WriteKind.FailedAttempt || (state == "failed" && kind == WriteKind.Finish) ? "broken" : null, State = state,
            Wait = kind == WriteKind.Record ? null : TimeSpan.Zero,
        };
    }
}

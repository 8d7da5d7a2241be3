using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Storage;
using Exporter.Engine.Tests.Scheduling;
using Exporter.Engine.Workflows;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>
/// Tries what a worker decides for all, rather than for a run that it holds, when another has decided it meanwhile: a schedule's
/// next occurrence, what its buffer starts, whose worker is lost, what is old, whose parent or child has ended.
/// </summary>
internal sealed class StaleDecisions(NpgsqlDataSource data)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Keep = TimeSpan.FromDays(90);
    private static readonly WorkflowOffer Any = new([("any", 1)]);
    private static readonly PayloadCodec Codec = new(KeyRing.Empty);
    private static readonly SqlFile Workers = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/worker.sql");
    private static readonly SqlFile Events = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/events.sql");
    private static readonly SqlFile Clients = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/client.sql");

    private EngineClient Client => TestWorker.ClientOf(data);

    private ScheduleClient Schedules => new(data, Codec);

    private ScheduleSettler Settler => new(Client, Codec);

    public async Task<List<StaleWrite>> TryAllAsync() =>
    [
        await TryScheduleAsync("advance a schedule", PrepareDueAsync),
        await TryScheduleAsync("start what a schedule kept", PrepareBufferedAsync),
        await TryMarkLostAsync(),
        await TryReleaseAsync(),
        await TryForgetAsync(),
        await TryWakeParentAsync(),
        await TryEndChildAsync(),
    ];

    private async Task<StaleWrite> TryScheduleAsync(string call, Func<Task> prepareAsync)
    {
        bool after, during, first;
        await prepareAsync();
        await using (var connection = await data.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            var taken = await ScheduleStore.TakeAsync(transaction, [], 1, default);
            var limit = await connection.ExecuteScalarAsync<string>("show idle_in_transaction_session_timeout", transaction: transaction);
            // The server does so by itself when the firer is frozen for longer than this.
            await ExecuteAsync("select pg_terminate_backend(@ProcessID, 10000)", new { connection.ProcessID });
            var other = await FireAsync();
            var before = await StoredRows.ReadAsync(data);
            after = limit == "5s" && taken.Count == 1 && other && !await AcceptedAsync(() => SettleAsync(transaction, taken)) && before == await StoredRows.ReadAsync(data);
        }

        await prepareAsync();
        await using (var connection = await data.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            var taken = await ScheduleStore.TakeAsync(transaction, [], 1, default);
            await Settler.SettleDueAsync(transaction, taken, default);
            var before = await StoredRows.ReadAsync(connection);
            var late = await FireAsync();
            await transaction.CommitAsync();
            during = !late && !await FireAsync() && before == await StoredRows.ReadAsync(data);
        }

        await prepareAsync();
        await using (var connection = await data.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            var taken = await ScheduleStore.TakeAsync(transaction, [], 1, default);
            var meets = await FireAsync();
            await SettleAsync(transaction, taken);
            first = !meets && !await FireAsync();
        }

        return new StaleWrite(call, after, during, first);
    }

    private async Task<StaleWrite> TryMarkLostAsync()
    {
        var (holder, queue, runId) = await HeldAsync();
        await LapseAsync(holder);
        await new WorkerStore(data, holder).RenewAsync(Lease);
        var after = await UnchangedAsync(SweepAsync);
        await LapseAsync(holder);
        var during = await UnchangedWhileAsync(Workers["RenewLease"], SweepAsync, holder, Lease, 1, "active", 0L);

        await LapseAsync(holder);
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await connection.ExecuteAsync(Workers["MarkLost"], transaction: transaction);
        var renewal = new WorkerStore(data, holder).RenewAsync(Lease);
        await StoredRows.MetAsync(data, renewal);
        await transaction.CommitAsync();
        var first = !await renewal;
        await SweepAsync();
        await Client.TerminateAsync(runId);
        return new StaleWrite("mark a worker lost", after, during, first);
    }

    private async Task<StaleWrite> TryReleaseAsync()
    {
        var (lost, queue, _) = await HeldAsync();
        await LapseAsync(lost);
        await SweepAsync();
        var other = Guid.CreateVersion7();
        await new WorkerStore(data, other).RegisterAsync("other", queue, 1, Lease, Any, default);
        await new WorkerStore(data, other).ClaimAsync(queue, Any, 1, default);
        var after = await UnchangedAsync(SweepAsync);

        await LapseAsync(other);
        await ExecuteAsync(Workers["MarkLost"]);
        var during = await UnchangedWhileAsync(Workers["ReleaseLost"], SweepAsync);

        (lost, _, _) = await HeldAsync();
        await LapseAsync(lost);
        await ExecuteAsync(Workers["MarkLost"]);
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var freed = (await connection.QueryAsync(Workers["ReleaseLost"], transaction: transaction)).Count();
        var meets = (await new WorkerStore(data, Guid.CreateVersion7()).SweepAsync(Lease, default)).Freed;
        await transaction.CommitAsync();
        return new StaleWrite("free a lost worker's runs", after, during, freed == 1 && meets == 0);
    }

    private async Task<StaleWrite> TryForgetAsync()
    {
        var runId = await OldAsync();
        await Client.RetryAsync(runId);
        var after = await UnchangedAsync(ForgetAsync);
        runId = await OldAsync();
        var during = await UnchangedWhileAsync(Clients["RetryRun"], ForgetAsync, runId);

        runId = await OldAsync();
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await ExecuteAsync(connection, Workers["ForgetRuns"], Keep, 500);
        var retried = Client.RetryAsync(runId);
        await StoredRows.MetAsync(data, retried);
        await transaction.CommitAsync();
        return new StaleWrite("forget an old run", after, during, !await retried);
    }

    private async Task<StaleWrite> TryWakeParentAsync()
    {
        var events = new EventStore(data);
        var (_, child) = await FamilyAsync(ParentClosePolicy.Abandon);
        await Client.CancelAsync(child);
        await events.CarryAsync(default);
        var after = await UnchangedAsync(() => events.CarryAsync(default));
        (_, child) = await FamilyAsync(ParentClosePolicy.Abandon);
        await Client.CancelAsync(child);
        var during = await UnchangedWhileAsync(Events["WakeParents"], () => events.CarryAsync(default));
        return new StaleWrite("tell a parent its child's end", after, during, null);
    }

    // What is stale is between its two statements: the list of the children, and the end of one of them.
    private async Task<StaleWrite> TryEndChildAsync()
    {
        var events = new EventStore(data);
        var (relay, child) = await OrphanAsync();
        await events.CarryAsync(default);
        await Client.RetryAsync(child);
        var after = await UnchangedAsync(() => events.EndChildAsync(relay, child, cancel: false, default));

        (relay, child) = await OrphanAsync();
        await events.EndChildAsync(relay, child, cancel: false, default);
        await Client.RetryAsync(child);
        var during = await UnchangedWhileAsync(Events["ForgetRelay"], () => events.EndChildAsync(relay, child, cancel: false, default), new[] { relay });
        return new StaleWrite("end the child of an ended parent", after, during, null);
    }

    private Task<bool> FireAsync() => ScheduleBench.FirerOf(data).FireAsync(default);

    private async Task SettleAsync(NpgsqlTransaction transaction, List<StoredSchedule> taken)
    {
        await Settler.SettleDueAsync(transaction, taken, default);
        await transaction.CommitAsync();
    }

    private async Task PrepareDueAsync()
    {
        await Schedules.DeleteAsync("s");
        await Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await ExecuteAsync(
            """
            delete from engine.occurrence;
            update engine.schedule set settled_to = engine.clock() - interval '2 minutes', next_occurrence = engine.clock() - interval '1 minute', next_at = engine.clock() - interval '1 minute'
            """);
    }

    private async Task PrepareBufferedAsync()
    {
        await Schedules.DeleteAsync("s");
        await ExecuteAsync("delete from engine.occurrence");
        await Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferOne) with { Spec = new ScheduleSpec { Cron = "0 0 29 2 *" } }, 5);
        var started = await Schedules.TriggerAsync("s");
        if (await Schedules.TriggerAsync("s") is not { Outcome: OccurrenceOutcome.Buffered })
        {
            throw new InvalidOperationException("The second occurrence was not kept.");
        }

        await Client.TerminateAsync(started!.RunId!.Value);
    }

    private async Task<(Guid Worker, string Queue, Guid RunId)> HeldAsync()
    {
        var (worker, queue) = (Guid.CreateVersion7(), Guid.NewGuid().ToString("N"));
        var runId = (await Client.StartAsync("any", 1, new StartOptions { Queue = queue })).RunId;
        await new WorkerStore(data, worker).RegisterAsync("holder", queue, 1, Lease, Any, default);
        await new WorkerStore(data, worker).ClaimAsync(queue, Any, 1, default);
        return (worker, queue, runId);
    }

    private async Task<Guid> OldAsync()
    {
        var runId = (await Client.StartAsync("any", 1)).RunId;
        await Client.TerminateAsync(runId);
        await ExecuteAsync("update engine.outcome set finished_at = finished_at - interval '1 year' where run_id = @runId", new { runId });
        return runId;
    }

    private async Task<(Guid Parent, Guid Child)> FamilyAsync(ParentClosePolicy policy)
    {
        var (parent, child) = ((await Client.StartAsync("any", 1)).RunId, Guid.CreateVersion7());
        await Client.StartAsync(child, "any", Codec.Write(1, Places.Input(child)), new StartOptions(), null, default, (parent, policy));
        await ExecuteAsync("update engine.live_run set has_children = true where run_id = @parent", new { parent });
        return (parent, child);
    }

    private async Task<(long Relay, Guid Child)> OrphanAsync()
    {
        var (parent, child) = await FamilyAsync(ParentClosePolicy.Terminate);
        await Client.TerminateAsync(parent);
        await using var connection = await data.OpenConnectionAsync();
        return (await connection.ExecuteScalarAsync<long>("select relay_id from engine.relay where run_id = @parent", new { parent }), child);
    }

    private Task SweepAsync() => new WorkerStore(data, Guid.CreateVersion7()).SweepAsync(Lease, default);

    private Task ForgetAsync() => new WorkerStore(data, Guid.CreateVersion7()).ForgetAsync(Keep, 500, default);

    private Task LapseAsync(Guid worker) =>
        ExecuteAsync("update engine.worker set lease_until = engine.clock() - interval '1 second' where worker_id = @worker", new { worker });

    private async Task<bool> UnchangedAsync(Func<Task> late)
    {
        var before = await StoredRows.ReadAsync(data);
        await late();
        return before == await StoredRows.ReadAsync(data);
    }

    // Another's statement is under way when the late one comes.
    private async Task<bool> UnchangedWhileAsync(string statement, Func<Task> lateAsync, params object[] parameters)
    {
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var untouched = await StoredRows.ReadAsync(connection);
        await ExecuteAsync(connection, statement, parameters);
        var before = await StoredRows.ReadAsync(connection);
        var late = lateAsync();
        await StoredRows.MetAsync(data, late);
        await transaction.CommitAsync();
        await late;
        return before != untouched && before == await StoredRows.ReadAsync(data);
    }

    private static async Task<bool> AcceptedAsync(Func<Task> late)
    {
        try
        {
            await late();
            return true;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    private async Task ExecuteAsync(string sql, object? parameters = null)
    {
        await using var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync(sql, parameters);
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string statement, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(statement, connection);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        }

        await command.ExecuteNonQueryAsync();
    }
}

using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Storage;
using Npgsql;

namespace Exporter.Engine.Tests.Models;

/// <summary>What is done to a run, or by a worker; from CountEvents on by who once claimed the run, whether it still holds it or not.</summary>
internal enum Deed
{
    Start,
    Signal,
    Cancel,
    Pause,
    Resume,
    Terminate,
    Retry,
    Reset,
    Claim,
    Kill,
    Stray,
    FallDue,
    Ask,
    CountEvents,
    Record,
    RecordFailure,
    Take,
    Fail,
    Open,
    Status,
    Complete,
    Break,
    EndCancelled,
    Leave,
    LeaveForTime,
    LeaveForEvent,
    TryAgain,
    ContinueAsNew,
}

/// <summary>One operation. Back: of the claims of the run, which one writes; 0 is the latest. Number: a place, a key, a limit.</summary>
internal sealed record Operation(Deed Deed, int Run, int Worker, int Back, int Number)
{
    /// <summary>Waits have places of their own, as in the code of a workflow.</summary>
    public int Place => Deed switch { Deed.Take => Number + 3, Deed.Reset => Number * 2, _ => Number };

    public override string ToString() => Deed switch
    {
        Deed.Start or Deed.Cancel or Deed.Pause or Deed.Resume or Deed.Terminate or Deed.Retry or Deed.FallDue => $"{Deed} run {Run}",
        Deed.Signal => $"{Deed} run {Run}{(Number == 0 ? "" : $", key {Number}")}",
        Deed.Reset => $"{Deed} run {Run} to place {Place}",
        Deed.Claim => $"{Deed} by worker {Worker}, at most {Number + 1}",
        Deed.Kill or Deed.Stray or Deed.Ask => $"{Deed} worker {Worker}",
        _ => $"{Deed} run {Run} at place {Place}, by {(Back == 0 ? "its latest claim" : $"the claim {Back} before")}",
    };
}

/// <summary>Does operations one after the other to the engine and to the rules, and compares what both answer and what is there then.</summary>
internal sealed class Trial(TestDatabase database, BrokenRule broken)
{
    private const string Seen =
        """
        select r.run_id, r.state || ' ' || coalesce(l.worker_id::text, '') || ' epoch ' || r.epoch || ', attempt ' || r.run_attempt
          || case when l.cancel_requested_at is not null then ', to be cancelled' else '' end
          || case when l.pause_requested_at is not null then ', to be paused' else '' end
          || ', records [' || coalesce((select string_agg(place || '=' || coalesce(encode(s.output, 'hex'), 'failed'), ' ' order by place)
            from engine.step_record s where s.run_id = r.run_id), '')
          || '], signals [' || coalesce((select string_agg(coalesce(taken_place::text, ''), ' ' order by signal_id)
            from engine.signal g where g.run_id = r.run_id), '') || ']'
        from engine.runs r left join engine.live_run l using (run_id) where r.run_id = any(@ids)
        """;

    private static readonly TimeSpan Lease = TimeSpan.FromHours(1);
    private static readonly WorkflowOffer Any = new([("any", 1)]);
    private readonly EngineClient _client = TestWorker.ClientOf(database.Data);
    private readonly EventStore _events = new(database.Data);
    private readonly string _queue = Guid.NewGuid().ToString("N");
    private readonly RunRules[] _runs = [new(broken), new(broken)];
    private readonly Guid[] _workers = new Guid[2];
    private byte _number;

    /// <summary>How often each deed had which answer, for the test to know that it tests.</summary>
    public Dictionary<string, int> Met { get; } = [];

    public async Task RunAsync(IEnumerable<Operation> operations)
    {
        await RegisterAsync(0);
        await RegisterAsync(1);
        foreach (var operation in operations.Prepend(new Operation(Deed.Start, 0, 0, 0, 0)))
        {
            _number++;
            var (engine, rules) = await DoAsync(operation);
            Same(operation, "answers", engine, rules);
            await using var connection = await database.Data.OpenConnectionAsync();
            var rows = await connection.QueryAsync<(Guid Id, string Text)>(Seen, new { ids = _runs.Select(run => run.RunId).ToArray() });
            var there = rows.ToDictionary(row => row.Id, row => row.Text);
            foreach (var run in _runs)
            {
                Same(operation, "leaves", there.GetValueOrDefault(run.RunId, "not there"), run.ToString());
            }

            var met = $"{operation.Deed} {(operation.Deed switch { Deed.Claim => rules.Length > 0, Deed.Kill => "", _ => rules })}";
            Met[met] = Met.GetValueOrDefault(met) + 1;
        }
    }

    private static void Same(Operation operation, string what, string engine, string rules)
    {
        if (engine != rules)
        {
            throw new InvalidOperationException($"After \"{operation}\" the engine {what} \"{engine}\", the rules say \"{rules}\".");
        }
    }

    private async Task<(string Engine, string Rules)> DoAsync(Operation operation)
    {
        var run = _runs[operation.Run];
        switch (operation.Deed)
        {
            case Deed.Start:
                var options = new StartOptions { Queue = _queue, IdempotencyKey = $"{_queue} {operation.Run}", RunId = run.Exists ? null : run.RunId };
                var handle = await _client.StartAsync("any", 1, options);
                return (handle.RunId == run.RunId ? $"{handle.IsNew}" : "another run", $"{run.Start()}");
            case Deed.Signal:
                var key = operation.Number == 0 ? null : $"{operation.Number}";
                return (await SignalAsync(run.RunId, key), $"{run.Signal(key)}");
            case Deed.Cancel:
                return ($"{await _client.CancelAsync(run.RunId)}", $"{run.Cancel()}");
            case Deed.Pause:
                return ($"{await _client.PauseAsync(run.RunId)}", $"{run.Pause()}");
            case Deed.Resume:
                return ($"{await _client.ResumeAsync(run.RunId)}", $"{run.Resume()}");
            case Deed.Terminate:
                return ($"{await _client.TerminateAsync(run.RunId)}", $"{run.Terminate()}");
            case Deed.Retry:
                return ($"{await _client.RetryAsync(run.RunId)}", $"{run.Retry()}");
            case Deed.Reset:
                return ($"{await _client.ResetAsync(run.RunId, operation.Place)}", $"{run.Reset(operation.Place)}");
            case Deed.Claim:
                return await ClaimAsync(_workers[operation.Worker], operation.Number + 1);
            case Deed.Kill:
                return await KillAsync(operation.Worker);
            case Deed.Stray:
                return await GiveBackAsync(_workers[operation.Worker]);
            case Deed.FallDue:
                await database.ExecuteAsync("update engine.live_run set due_at = engine.clock() where run_id = @RunId and state = 'waiting'", new { run.RunId });
                run.FallDue();
                return ("", "");
            case Deed.Ask:
                return await AskAsync(_workers[operation.Worker]);
            default:
                return operation.Back < run.Claims.Count ? await WriteAsync(operation, run, run.Claims[^(operation.Back + 1)]) : ("", "");
        }
    }

    private async Task<string> SignalAsync(Guid runId, string? key)
    {
        try
        {
            return $"{await _client.SignalAsync(runId, "go", 1, key)}";
        }
        catch (KeyNotFoundException)
        {
            return "";
        }
    }

    /// <summary>Which of several a claim takes is not for these rules to say; that it takes as many as it may, is.</summary>
    private async Task<(string Engine, string Rules)> ClaimAsync(Guid worker, int limit)
    {
        Array.ForEach(_runs, run => run.Wake());
        var expected = Math.Min(limit, _runs.Count(run => run.IsClaimable));
        var store = new WorkerStore(database.Data, worker);
        var claimed = await store.ClaimAsync(_queue, Any, limit, default);
        await store.LoadAsync(claimed, default);
        if (claimed.Count != expected || claimed.Exists(one => !Array.Find(_runs, run => run.RunId == one.RunId)!.IsClaimable))
        {
            return ($"{claimed.Count} claimed", $"{expected} to be claimed");
        }

        var engine = claimed.Select(one => $"epoch {one.Epoch}{(one.CancelRequested ? ", to be cancelled" : "")}, attempt {one.RunAttempt}, "
            + RunRules.Records(one.Records.Select(record => KeyValuePair.Create(record.Key, RunRules.Value(record.Value.Output, record.Value.Error)))));
        var rules = claimed.Select(one => Array.Find(_runs, run => run.RunId == one.RunId)!.Claimed(new Claim(worker, one.Epoch)));
        return (string.Join("; ", engine), string.Join("; ", rules));
    }

    /// <summary>The lease ends, the other worker sweeps; the lost one can neither renew nor claim, and comes back under a new id.</summary>
    private async Task<(string Engine, string Rules)> KillAsync(int worker)
    {
        var id = _workers[worker];
        await database.ExecuteAsync("update engine.worker set lease_until = engine.clock() - interval '1 second' where worker_id = @id", new { id });
        var held = _runs.Where(run => run.IsHeldBy(id)).ToList();
        var (lost, freed) = await new WorkerStore(database.Data, _workers[1 - worker]).SweepAsync(Lease, default);
        held.ForEach(run => run.Free());
        Array.ForEach(_runs, run => run.Wake());
        var old = new WorkerStore(database.Data, id);
        var can = await old.RenewAsync(Lease) || (await old.ClaimAsync(_queue, Any, 1, default)).Count > 0;
        await RegisterAsync(worker);
        return ($"{string.Join(' ', lost.Select(one => one.Id))} {freed} {can}", $"{id} {held.Count} {false}");
    }

    private async Task<(string Engine, string Rules)> GiveBackAsync(Guid worker)
    {
        await new WorkerStore(database.Data, worker).GiveBackStraysAsync([], default);
        foreach (var run in _runs.Where(run => run.IsHeldBy(worker)))
        {
            run.Free();
        }

        return ("", "");
    }

    private async Task<(string Engine, string Rules)> AskAsync(Guid worker)
    {
        var orders = await new WorkerStore(database.Data, worker).SteeredAsync([.. _runs.Select(run => run.RunId)], default);
        return (
            string.Join(' ', orders.OrderBy(one => Array.FindIndex(_runs, run => run.RunId == one.RunId)).Select(one => one.Order)),
            string.Join(' ', _runs.Select(run => run.Order(worker)).Where(order => order is not null)));
    }

    private async Task<(string Engine, string Rules)> WriteAsync(Operation operation, RunRules run, Claim claim)
    {
        var store = new WriteStore(database.Data, claim.Worker);
        switch (operation.Deed)
        {
            case Deed.CountEvents:
                claim.Seen = await _events.SeenAsync(run.RunId, default);
                return ($"{claim.Seen}", $"{run.CountEvents()}");
            case Deed.Take:
                var record = new Write(WriteKind.Record, run.RunId, claim.Epoch) { Name = "signal go", Attempt = 1, Place = operation.Place, Payload = [0, _number] };
                return (await TakeAsync(store, claim, record), run.Take(claim, record));
            default:
                var again = (operation.Run + operation.Number + operation.Back) % 2 == 0;
                var write = WriteOf(operation, run.RunId, claim);
                return (await CommitAsync(store, write, again), run.Write(claim, write, again));
        }
    }

    private static async Task<string> CommitAsync(WriteStore store, Write write, bool again)
    {
        try
        {
            return (await store.CommitAsync([write], again, default)).Contains((write.RunId, write.Epoch)) ? "accepted" : "refused";
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            return "recorded before";
        }
    }

    private static async Task<string> TakeAsync(WriteStore store, Claim claim, Write write)
    {
        try
        {
            var held = await store.CommitWithAsync(
                write.RunId,
                claim.Epoch,
                Lease,
                async (transaction, token) => await EventStore.TakeSignalAsync(transaction, write.RunId, "go", write.Place, token) is null ? null : write,
                default);
            return held ? "accepted" : "refused";
        }
        catch (AlreadyRecordedException)
        {
            return "recorded before";
        }
    }

    private Write WriteOf(Operation operation, Guid runId, Claim claim)
    {
        var (kind, state, error, wait, seen) = operation.Deed switch
        {
            Deed.Record => (WriteKind.Record, null, null, null, (long?)null),
            Deed.RecordFailure => (WriteKind.Record, null, "broken", null, null),
            Deed.Fail => (WriteKind.FailedAttempt, null, "broken", Lease, null),
            Deed.Open => (WriteKind.OpenStep, null, null, TimeSpan.Zero, null),
            Deed.Status => (WriteKind.Status, "busy", null, null, null),
            Deed.Complete => (WriteKind.Finish, "completed", null, null, null),
            Deed.Break => (WriteKind.Finish, "failed", "broken", null, null),
            Deed.EndCancelled => (WriteKind.Finish, "cancelled", "cancelled", null, null),
            Deed.Leave => (WriteKind.Leave, null, null, null, null),
            Deed.LeaveForTime => (WriteKind.Leave, null, null, Lease, null),
            Deed.LeaveForEvent => (WriteKind.Leave, null, null, Lease, claim.Seen),
            Deed.TryAgain => (WriteKind.Retry, null, null, Lease, null),
            Deed.ContinueAsNew => (WriteKind.Continue, (string?)null, (string?)null, (TimeSpan?)null, (long?)null),
            _ => throw new ArgumentOutOfRangeException(nameof(operation), operation, "No write."),
        };
        return new Write(kind, runId, claim.Epoch)
        {
            Name = "step", Attempt = _number, Place = operation.Place, Payload = error is null ? [0, _number] : null, Error = error, State = state, Wait = wait,
            SeenEvents = seen, ClosesOpen = true,
        };
    }

    private async Task RegisterAsync(int worker)
    {
        _workers[worker] = Guid.CreateVersion7();
        await new WorkerStore(database.Data, _workers[worker]).RegisterAsync("AB"[worker].ToString(), _queue, 2, Lease, Any, default);
    }
}

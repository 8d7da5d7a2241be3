using Dapper;
using Exporter.Engine.Payloads;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>Compares what the engine has recorded with the ledger, and both with what had to come out.</summary>
internal sealed class ChaosVerdict
{
    private static readonly PayloadCodec Codec = new(KeyRing.Empty);
    private readonly TextWriter _log;

    private ChaosVerdict(TextWriter log) => _log = log;

    /// <summary>Steps recorded.</summary>
    public int Steps { get; private set; }

    /// <summary>
    /// Steps of which two outputs were taken for recorded, or whose code began again, under the record's epoch or a later
    /// one, when the record was there; rows of a transaction that are there twice; children that were started twice.
    /// </summary>
    public int Twice { get; private set; }

    /// <summary>Outputs that were used and are not recorded, records that no finished attempt stands behind, rows that are missing.</summary>
    public int Lost { get; private set; }

    /// <summary>Runs whose output is not what their steps, one after the other, had to make of it; steps that began before one that comes first was recorded.</summary>
    public int Disorder { get; private set; }

    /// <summary>Runs that ended otherwise than completed.</summary>
    public int Failed { get; private set; }

    /// <summary>Code that a frozen worker began under an old epoch. That cannot be prevented, only fenced; it is no fault.</summary>
    public int StaleBeginnings { get; private set; }

    public static async Task<ChaosVerdict> OfAsync(NpgsqlDataSource engine, Ledger ledger, IReadOnlyDictionary<Guid, int> started, TextWriter log)
    {
        var verdict = new ChaosVerdict(log);
        await using var connection = await engine.OpenConnectionAsync();
        var records = (await connection.QueryAsync<(Guid RunId, int Place, string Name, long Epoch, byte[] Output)>(
            "select run_id, place, name, epoch, output from engine.step_record where output is not null")).ToLookup(record => record.RunId);
        var outcomes = (await connection.QueryAsync<(Guid RunId, string State, byte[]? Output, string? Error)>(
            "select run_id, state::text, output, error from engine.outcome")).ToDictionary(outcome => outcome.RunId);
        var families = await connection.QueryAsync<(Guid Parent, Guid Child)>("select parent_run_id, run_id from engine.run where parent_run_id is not null");
        var children = families.ToLookup(family => family.Parent, family => family.Child);
        var committed = (await connection.QueryAsync<(Guid RunId, string Output)>("select run_id, output from committed")).ToLookup(row => row.RunId, row => row.Output);
        var lines = (await ledger.ReadAsync()).ToLookup(line => line.RunId);
        foreach (var (runId, number) in started)
        {
            if (children[runId].Count() != 1)
            {
                verdict.Say(children[runId].Any(), runId, "has no child, or more than one");
            }

            verdict.Judge(runId, LedgerWorkflow.Expected(number), records[runId], outcomes, lines[runId], committed[runId].ToList());
            foreach (var child in children[runId])
            {
                verdict.Judge(child, LedgerChild.Expected(number), records[child], outcomes, lines[child], null);
            }
        }

        return verdict;
    }

    private void Judge(
        Guid runId, IEnumerable<string> expected, IEnumerable<(Guid RunId, int Place, string Name, long Epoch, byte[] Output)> records,
        Dictionary<Guid, (Guid RunId, string State, byte[]? Output, string? Error)> outcomes, IEnumerable<LedgerLine> ledger, List<string>? committed)
    {
        var lines = ledger.ToList();
        var steps = records.Where(record => !record.Name.StartsWith("signal ", StringComparison.Ordinal) && !record.Name.StartsWith("child ", StringComparison.Ordinal))
            .Select(record => (record.Place, record.Epoch, Output: Codec.Read<string>(record.Output, Places.Step(runId, record.Place)))).ToList();
        Steps += steps.Count;
        foreach (var step in steps.Where(step => !lines.Exists(
            line => line.Kind == Ledger.Ended && line.Place == step.Place && line.Epoch == step.Epoch && line.Output == step.Output)))
        {
            Lost++;
            _log.WriteLine($"{runId}: the record at place {step.Place} is of no attempt that ended");
        }

        foreach (var key in lines.GroupBy(line => line.Key))
        {
            var used = key.Where(line => line.Kind == Ledger.Used).ToList();
            if (used.DistinctBy(line => line.Output).Count() > 1)
            {
                Say(true, runId, $"\"{key.Key}\" was recorded with two outputs");
            }

            foreach (var line in used.DistinctBy(line => line.Output).Where(line => !steps.Exists(step => step.Output == line.Output)))
            {
                Say(false, runId, $"what \"{key.Key}\" gave is not recorded: {line.Output}");
            }

            if (used.Count > 0 && steps.Find(step => step.Output == used[0].Output) is { Output: not null } record)
            {
                var again = key.Where(line => line.Kind == Ledger.Began && line.Seq > used[0].Seq).ToList();
                StaleBeginnings += again.Count(line => line.Epoch < record.Epoch);
                if (again.Exists(line => line.Epoch >= record.Epoch))
                {
                    Say(true, runId, $"\"{key.Key}\" began again after it was recorded");
                }
            }
        }

        Order(runId, lines);
        if (committed is not null && !committed.SequenceEqual(steps.Where(step => step.Output.StartsWith("committed:", StringComparison.Ordinal)).Select(step => step.Output)))
        {
            Say(committed.Count > 1, runId, $"{committed.Count} rows were committed with its step, or another one than it says");
        }

        if (outcomes.GetValueOrDefault(runId) is not { State: "completed", Output: { } stored } outcome)
        {
            Failed += outcomes.ContainsKey(runId) ? 1 : 0;
            _log.WriteLine($"{runId}: {outcomes.GetValueOrDefault(runId).State ?? "not final"} {outcomes.GetValueOrDefault(runId).Error}");
            return;
        }

        var output = Codec.Read<string[]>(stored, Places.Output(runId));
        var own = output.Where(one => steps.Exists(step => step.Output == one));
        if (!output.Select(one => one.Split('#')[0]).SequenceEqual(expected) || !own.SequenceEqual(steps.OrderBy(step => step.Place).Select(step => step.Output)))
        {
            Disorder++;
            _log.WriteLine($"{runId}: its output is not that of its steps in their order: {string.Join(", ", output)}");
        }
    }

    // A stage may begin when every step of the one before it was used.
    private void Order(Guid runId, List<LedgerLine> lines)
    {
        var stages = lines.GroupBy(line => line.Stage).OrderBy(stage => stage.Key).ToList();
        for (var stage = 1; stage < stages.Count; stage++)
        {
            var begun = stages[stage].Where(line => line.Kind == Ledger.Began).Select(line => line.Seq).DefaultIfEmpty(long.MaxValue).Min();
            var before = stages[stage - 1].GroupBy(line => line.Key)
                .Max(key => key.Where(line => line.Kind == Ledger.Used).Select(line => line.Seq).DefaultIfEmpty(long.MaxValue).Min());
            if (begun < before)
            {
                Disorder++;
                _log.WriteLine($"{runId}: stage {stages[stage].Key} began before stage {stages[stage - 1].Key} was recorded");
            }
        }
    }

    private void Say(bool twice, Guid runId, string what)
    {
        (Twice, Lost) = twice ? (Twice + 1, Lost) : (Twice, Lost + 1);
        _log.WriteLine($"{runId}: {what}");
    }
}

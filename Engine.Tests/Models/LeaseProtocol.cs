namespace Exporter.Engine.Tests.Models;

// How a run is held, written and woken, as a model small enough to look at every interleaving.
//
// One run is to record a step (its output is the number of the hold that computed it), to take one signal, and to complete.
// Two workers, A and B, may execute it; a sweeper frees what lost workers hold; a client sends one or two signals.
//
// A worker has a lease in the database and its own belief in it. Both last for two ticks. It renews: the renewal is sent,
// answered by the database, and the answer arrives, with ticks in between. It counts from the sending. When its belief ends it
// drops what it does, and registers anew. It may also crash, or be frozen past its lease at any moment, and wake up unaware.
//
// (To keep the model small, time passes for a worker only while it has to do with the run.)
//
// A claim writes the worker into the run's row and raises the epoch. Then the worker loads what is recorded, and goes on from
// there. What it writes is first sent; then, in the database, the transaction checks worker and epoch and locks the row; then
// it commits. Any of these may come late, and the answer may be lost: then the worker sends the same again. The lock of a
// record holds off the sweeper (which passes by), not a signal; the lock of a write that changes the row holds off both.
//
// For a signal a worker first counts the run's events, then looks for a signal. When there is none it leaves the run, and
// says how many events it had counted: had there been more, the run is queued and does not wait. Taking a signal and recording
// it is one write. A signal is stored, counted, and wakes the run, in one transaction.
//
// Names are used again: A that comes back is A, so that the epoch alone has to tell its holds apart (in the engine a worker that
// registers anew has a new id, too). Holds are counted on the side, for the rules to be judged; the protocol does not see that.
//
// The rules: only the present hold's writes are accepted; who believes in its lease holds what it executes; what a worker was
// told is recorded, is; of two signals one is taken; a run completes with both records; from everywhere an end can be reached
// without a further fault. Each Mistake breaks one.

/// <summary>What may be done wrongly.</summary>
internal enum Mistake
{
    None,
    WritesCheckNoEpoch,
    WritesCheckWithoutHoldingTheRow,
    LeaseCountsFromTheAnswer,
    ClaimRaisesNoEpoch,
    LeavesWithoutLookingAtEventsAgain,
    LooksForASignalBeforeCounting,
    SignalDoesNotWake,
    CompletesByIdAlone,
    TakesAndRecordsInTwoTransactions,
    RepeatsATakeBlindly,
    StraysAreKept,
}

internal enum Stage : byte
{
    Queued,
    Running,
    Waiting,
    Completed,
}

/// <summary>Where the run's code is in a worker.</summary>
internal enum At : byte
{
    Nothing,
    Claimed,
    Step,
    Wait,
    Counted,
    Looked,
    Took,
    End,
}

internal enum Sending : byte
{
    Nothing,
    Output,
    Take,
    Answer,
    Leave,
    GiveBack,
    Complete,
}

internal enum Renewal : byte
{
    None,
    Sent,
    Granted,
    Refused,
}

/// <summary>The run's row. Hold is not part of the protocol: it counts the claims.</summary>
internal readonly record struct Row(Stage Stage, byte Holder, byte Epoch, byte Hold, byte Events);

/// <summary>A write under way. Checked: its transaction has checked, and locked, and will commit.</summary>
internal readonly record struct Letter(Sending Kind, byte Hold, byte Epoch, byte Seen, bool Checked)
{
    public bool ChangesRow => Kind is Sending.Leave or Sending.GiveBack or Sending.Complete;
}

/// <summary>A worker: its row (Active, Lease), and what it knows itself.</summary>
internal readonly record struct Holder(
    bool Active, byte Lease, bool Up, byte Belief, Renewal Renewal, byte Age, At At, byte Hold, byte Epoch, byte Output, byte Seen, Letter Letter)
{
    public Holder Idle => this with { At = At.Nothing, Hold = 0, Epoch = 0, Output = 0, Seen = 0 };

    public Holder Down => Idle with { Up = false, Belief = 0, Renewal = Renewal.None, Age = 0 };
}

/// <summary>Everything. Output: which hold's is recorded; Answered: whether the signal is; Faults: how many may still come.</summary>
internal readonly record struct World(Row Row, byte Output, bool Answered, byte Sent, byte Taken, byte Faults, Holder A, Holder B)
{
    public Holder this[int worker] => worker == 1 ? A : B;

    public World With(int worker, Holder now) => worker == 1 ? this with { A = now } : this with { B = now };

    public bool Any(Func<Letter, bool> letter) => letter(A.Letter) || letter(B.Letter);
}

/// <summary>The moves and rules of the story above.</summary>
internal sealed class LeaseProtocol(Mistake mistake, byte faults) : IModel<World>
{
    private const byte Lease = 2;
    private const byte Signals = 2;
    private static readonly Holder Fresh = new(true, Lease, true, Lease, Renewal.None, 0, At.Nothing, 0, 0, 0, 0, default);
    private static readonly string[] Names = ["", "A", "B"];

    public World First => new(default, 0, false, 0, 0, faults, Fresh, Fresh);

    public bool IsFinal(in World world) => world.Row.Stage == Stage.Completed;

    public string? Breach(in World world)
    {
        if (world.Taken > 1)
        {
            return "one wait took two signals: one of them is lost";
        }

        if (world.Row.Stage == Stage.Completed && (world.Output == 0 || !world.Answered))
        {
            return "the run is complete, and not all of it is recorded";
        }

        for (var worker = 1; worker <= 2; worker++)
        {
            var holder = world[worker];
            if (holder.Output != 0 && holder.Output != world.Output)
            {
                return $"{Names[worker]} goes on with an output that is not the one recorded";
            }

            if (holder is { Hold: > 0, Belief: > 0 } && !(holder.Letter.ChangesRow && holder.Letter.Hold == holder.Hold)
                && (world.Row.Holder != worker || world.Row.Hold != holder.Hold))
            {
                return $"{Names[worker]} believes in its lease, and executes a run that is no longer its own";
            }
        }

        return null;
    }

    public void Moves(in World world, List<Move<World>> moves)
    {
        for (var worker = 1; worker <= 2; worker++)
        {
            Time(world, worker, moves);
            Run(world, worker, moves);
            Database(world, worker, moves);
        }

        Signal(world, moves);
    }

    private static World Spent(in World world) => world with { Faults = (byte)(world.Faults - 1) };

    /// <summary>The lease: time passes, it is renewed, it ends, the worker is swept, or comes back.</summary>
    private void Time(in World world, int worker, List<Move<World>> moves)
    {
        var (name, me) = (Names[worker], world[worker]);
        var hasToDo = me.At != At.Nothing || world.Row.Holder == worker;
        if ((hasToDo || !me.Up) && (me.Lease > 0 || me.Belief > 0))
        {
            var age = me.Renewal == Renewal.None ? 0 : Math.Min(me.Age + 1, Lease);
            var later = me with { Lease = (byte)Math.Max(me.Lease - 1, 0), Belief = (byte)Math.Max(me.Belief - 1, 0), Age = (byte)age };
            if (!me.Up || me.Belief == 0 || (me.Lease != 1 && me.Belief != 1))
            {
                moves.Add(new(name, "is a tick older, and so is its lease", world.With(worker, later)));
            }
            else if (world.Faults > 0)
            {
                moves.Add(new(name, "is slow: its lease ends", Spent(world).With(worker, later), IsFault: true));
            }
        }

        if (me is { Up: true, Renewal: Renewal.None } && me.Belief is > 0 and < Lease)
        {
            moves.Add(new(name, "sends a renewal", world.With(worker, me with { Renewal = Renewal.Sent })));
        }

        if (me.Renewal == Renewal.Sent)
        {
            var answered = me.Active ? me with { Renewal = Renewal.Granted, Lease = Lease } : me with { Renewal = Renewal.Refused };
            moves.Add(new(name, $"is {(me.Active ? "granted" : "refused")} the renewal", world.With(worker, answered)));
        }

        if (me.Renewal is Renewal.Granted or Renewal.Refused)
        {
            var counted = mistake == Mistake.LeaseCountsFromTheAnswer ? Lease : (byte)(Lease - me.Age);
            var told = me with { Renewal = Renewal.None, Age = 0, Belief = me.Renewal == Renewal.Granted ? counted : (byte)0 };
            moves.Add(new(name, "gets the answer to its renewal", world.With(worker, told)));
        }

        if (me is { Up: true, Belief: 0 })
        {
            moves.Add(new(name, "sees that its lease has ended and drops all", world.With(worker, me.Down)));
        }

        if (hasToDo && me.Up && world.Faults > 0)
        {
            moves.Add(new(name, "crashes", Spent(world).With(worker, me.Down), IsFault: true));
        }

        if (me is { Active: true, Lease: 0 })
        {
            moves.Add(new("the sweeper", $"marks {name} lost", world.With(worker, me with { Active = false })));
        }

        if (!me.Active && world.Row.Holder == worker && !IsLocked(world, byRecords: true))
        {
            moves.Add(new("the sweeper", $"frees the run of {name}", Freed(world)));
        }

        if (!me.Active && me.Letter.Checked)
        {
            moves.Add(new("the sweeper", $"has {name}'s session ended", world.With(worker, me with { Letter = default })));
        }

        if (me is { Active: false, Up: false } && world.Row.Holder != worker)
        {
            moves.Add(new(name, "registers again", world.With(worker, Fresh with { Letter = me.Letter })));
        }
    }

    /// <summary>What a worker does with the run: claims it, executes it, gives it back.</summary>
    private void Run(in World world, int worker, List<Move<World>> moves)
    {
        var (name, me, row) = (Names[worker], world[worker], world.Row);
        if (!me.Up)
        {
            return;
        }

        if (me is { At: At.Nothing, Active: true, Lease: > 0, Belief: > 0 } && row.Stage == Stage.Queued)
        {
            var epoch = mistake == Mistake.ClaimRaisesNoEpoch ? row.Epoch : (byte)(row.Epoch + 1);
            var claimed = world with { Row = row with { Stage = Stage.Running, Holder = (byte)worker, Epoch = epoch, Hold = (byte)(row.Hold + 1) } };
            moves.Add(new(name, "claims the run", claimed.With(worker, me with { At = At.Claimed, Hold = claimed.Row.Hold, Epoch = epoch })));
            if (world.Faults > 0)
            {
                moves.Add(new(name, "claims the run, and never hears of it", Spent(claimed), IsFault: true));
            }
        }

        if (me.At == At.Nothing && row.Holder == worker && mistake != Mistake.StraysAreKept)
        {
            moves.Add(new(name, "gives back a run that it does not know of", Freed(world)));
        }

        if (me.Letter.Kind != Sending.Nothing)
        {
            return;
        }

        var signal = world.Sent > world.Taken;
        switch (me.At)
        {
            case At.Claimed:
                var known = me with { Output = world.Output, At = world.Output == 0 ? At.Step : world.Answered ? At.End : At.Wait };
                moves.Add(new(name, "loads the records", world.With(worker, known)));
                break;
            case At.Step:
                moves.Add(new(name, "computes the step and sends its output", world.With(worker, Sends(me, Sending.Output))));
                break;
            case At.Wait when mistake == Mistake.LooksForASignalBeforeCounting:
                moves.Add(new(name, "looks for a signal", world.With(worker, signal ? Sends(me, Sending.Take) : me with { At = At.Looked })));
                break;
            case At.Wait:
                moves.Add(new(name, $"counts {row.Events} events", world.With(worker, me with { At = At.Counted, Seen = row.Events })));
                break;
            case At.Counted:
                var (found, sends) = signal ? ("finds a signal, takes it", Sending.Take) : ("finds no signal, leaves", Sending.Leave);
                moves.Add(new(name, found, world.With(worker, Sends(me, sends))));
                break;
            case At.Looked:
                moves.Add(new(name, $"counts {row.Events} events, leaves", world.With(worker, Sends(me with { Seen = row.Events }, Sending.Leave))));
                break;
            case At.Took:
                moves.Add(new(name, "sends what the signal said", world.With(worker, Sends(me, Sending.Answer))));
                break;
            case At.End:
                moves.Add(new(name, "sends that the run is complete", world.With(worker, Sends(me, Sending.Complete))));
                break;
        }

        if (me.At > At.Claimed && world.Faults > 0)
        {
            moves.Add(new(name, "is to stop, and gives the run back", Spent(world).With(worker, Sends(me, Sending.GiveBack)), IsFault: true));
        }
    }

    /// <summary>What the database does with a write: checks and locks, then commits; then the worker hears of it, or does not.</summary>
    private void Database(in World world, int worker, List<Move<World>> moves)
    {
        var (name, me, row) = (Names[worker], world[worker], world.Row);
        var letter = me.Letter;
        if (letter is { Kind: not Sending.Nothing, Checked: false })
        {
            var held = row.Stage == Stage.Running && row.Holder == worker && row.Epoch == letter.Epoch;
            var accepted = mistake == Mistake.WritesCheckNoEpoch || (mistake == Mistake.CompletesByIdAlone && letter.Kind == Sending.Complete)
                ? row.Stage != Stage.Completed
                : held;
            var begun = accepted ? me with { Letter = letter with { Checked = true } } : Told(me, At.Nothing) with { Letter = default };
            moves.Add(new(name, $"has its write ({letter.Kind}, epoch {letter.Epoch}) {(accepted ? "checked" : "refused")}", world.With(worker, begun)));
        }

        if (letter.Checked)
        {
            var breach = row.Holder == worker && row.Hold == letter.Hold ? null : $"a write was accepted from {name}, which no longer held the run";
            var (after, now) = Committed(world, worker, letter);
            moves.Add(new(name, $"has its write ({letter.Kind}) committed", after.With(worker, now with { Letter = default }), Breach: breach));
            if (world.Faults > 0)
            {
                var again = Spent(after).With(worker, me with { Letter = letter with { Checked = false } });
                moves.Add(new(name, $"has its write ({letter.Kind}) committed, does not hear of it, sends it again", again, IsFault: true, breach));
            }
        }
    }

    private (World World, Holder Now) Committed(in World world, int worker, Letter letter)
    {
        var (me, row) = (world[worker], world.Row);
        switch (letter.Kind)
        {
            case Sending.Output:
                var output = world.Output == 0 ? letter.Hold : world.Output;
                var goesOn = Told(me, At.Wait);
                return (world with { Output = output }, me.Hold == letter.Hold ? goesOn with { Output = letter.Hold } : goesOn);
            case Sending.Take when mistake == Mistake.TakesAndRecordsInTwoTransactions:
                return world.Sent > world.Taken ? (world with { Taken = (byte)(world.Taken + 1) }, Told(me, At.Took)) : (world, Told(me, At.Wait));
            case Sending.Take:
                var takes = (!world.Answered || mistake == Mistake.RepeatsATakeBlindly) && world.Sent > world.Taken;
                return (takes ? world with { Taken = (byte)(world.Taken + 1), Answered = true } : world, Told(me, At.End));
            case Sending.Answer:
                return (world with { Answered = true }, Told(me, At.End));
            case Sending.Complete:
                return (world with { Row = row with { Stage = Stage.Completed, Holder = 0 } }, Told(me, At.Nothing));
            default:
                var missed = row.Events > letter.Seen && mistake != Mistake.LeavesWithoutLookingAtEventsAgain;
                var stage = letter.Kind == Sending.GiveBack || missed ? Stage.Queued : Stage.Waiting;
                return (world with { Row = row with { Stage = stage, Holder = 0 } }, Told(me, At.Nothing));
        }
    }

    private void Signal(in World world, List<Move<World>> moves)
    {
        if (world.Sent < Signals && world.Row.Stage != Stage.Completed && !IsLocked(world, byRecords: false))
        {
            var wakes = world.Row.Stage == Stage.Waiting && mistake != Mistake.SignalDoesNotWake;
            var row = world.Row with { Events = (byte)(world.Row.Events + 1), Stage = wakes ? Stage.Queued : world.Row.Stage };
            moves.Add(new("the client", $"sends a signal{(wakes ? ", which wakes the run" : "")}", world with { Row = row, Sent = (byte)(world.Sent + 1) }));
        }
    }

    private bool IsLocked(in World world, bool byRecords) =>
        mistake != Mistake.WritesCheckWithoutHoldingTheRow && world.Any(letter => letter.Checked && (byRecords || letter.ChangesRow));

    private static World Freed(in World world) =>
        world with { Row = world.Row with { Stage = Stage.Queued, Holder = 0, Epoch = (byte)(world.Row.Epoch + 1) } };

    private static Holder Sends(Holder me, Sending kind) => me with { Letter = new Letter(kind, me.Hold, me.Epoch, me.Seen, false) };

    // A worker that has dropped the run since does not care.
    private static Holder Told(Holder me, At at) => me.Letter.Hold != me.Hold ? me : at == At.Nothing ? me.Idle : me with { At = at };
}

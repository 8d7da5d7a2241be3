namespace Exporter.Engine.Tests.Models;

/// <summary>One thing that may happen: who does what, what the world is then, whether it is a fault, and which rule it breaks.</summary>
internal readonly record struct Move<TWorld>(string Actor, string Deed, TWorld World, bool IsFault = false, string? Breach = null);

/// <summary>A world, and what may happen in it.</summary>
internal interface IModel<TWorld>
    where TWorld : struct, IEquatable<TWorld>
{
    TWorld First { get; }

    void Moves(in TWorld world, List<Move<TWorld>> moves);

    /// <summary>Which rule this world breaks; null for none.</summary>
    string? Breach(in TWorld world);

    bool IsFinal(in TWorld world);
}

/// <summary>What a search found: how many worlds there are, and the shortest way to one that breaks a rule.</summary>
internal sealed record Finding(int Worlds, string? Breach, IReadOnlyList<string> Trace)
{
    public override string ToString() => Breach is null
        ? $"{Worlds:n0} states, no rule broken"
        : string.Join('\n', Trace.Select((line, n) => $"{n + 1,3}. {line}").Append($"  => {Breach} ({Worlds:n0} states seen)"));
}

/// <summary>
/// Searches all worlds that can be reached, the nearest first, so that the first breach is the one with the shortest story. Then
/// asks of each world whether an end can be reached from there without any further fault: where not, something waits for what
/// cannot come.
/// </summary>
internal sealed class StateSpace<TWorld>(IModel<TWorld> model)
    where TWorld : struct, IEquatable<TWorld>
{
    private readonly Dictionary<TWorld, int> _numbers = [];
    private readonly List<TWorld> _worlds = [];
    private readonly List<int> _parents = [];
    private readonly List<(int From, int To)> _withoutFault = [];

    public Finding Explore()
    {
        var moves = new List<Move<TWorld>>();
        Number(model.First, -1);
        for (var from = 0; from < _worlds.Count; from++)
        {
            moves.Clear();
            model.Moves(_worlds[from], moves);
            foreach (var move in moves)
            {
                var to = Number(move.World, from);
                if ((move.Breach ?? model.Breach(move.World)) is { } breach)
                {
                    return new Finding(_worlds.Count, breach, [.. Story(from), Said(move)]);
                }

                if (!move.IsFault)
                {
                    _withoutFault.Add((from, to));
                }
            }
        }

        return FirstStuck() is { } stuck
            ? new Finding(_worlds.Count, "stuck: from here no end can be reached any more", Story(stuck))
            : new Finding(_worlds.Count, null, []);
    }

    private int Number(in TWorld world, int parent)
    {
        if (!_numbers.TryGetValue(world, out var number))
        {
            number = _worlds.Count;
            _numbers.Add(world, number);
            _worlds.Add(world);
            _parents.Add(parent);
        }

        return number;
    }

    /// <summary>Walks back from all ends; the first world that was not met is stuck.</summary>
    private int? FirstStuck()
    {
        // The moves into each world, one after the other: as fast as it gets, since there are millions.
        var starts = new int[_worlds.Count + 1];
        foreach (var (_, to) in _withoutFault)
        {
            starts[to + 1]++;
        }

        for (var world = 0; world < _worlds.Count; world++)
        {
            starts[world + 1] += starts[world];
        }

        var next = starts.ToArray();
        var into = new int[_withoutFault.Count];
        foreach (var (from, to) in _withoutFault)
        {
            into[next[to]++] = from;
        }

        var open = new Stack<int>(Enumerable.Range(0, _worlds.Count).Where(number => model.IsFinal(_worlds[number])));
        var ends = new bool[_worlds.Count];
        foreach (var end in open)
        {
            ends[end] = true;
        }

        while (open.TryPop(out var to))
        {
            foreach (var from in into.AsSpan(starts[to]..starts[to + 1]))
            {
                if (!ends[from])
                {
                    ends[from] = true;
                    open.Push(from);
                }
            }
        }

        var stuck = Array.IndexOf(ends, false);
        return stuck < 0 ? null : stuck;
    }

    private List<string> Story(int world)
    {
        var lines = new List<string>();
        var moves = new List<Move<TWorld>>();
        for (; _parents[world] >= 0; world = _parents[world])
        {
            moves.Clear();
            model.Moves(_worlds[_parents[world]], moves);
            var to = _worlds[world];
            lines.Add(Said(moves.First(move => move.World.Equals(to))));
        }

        lines.Reverse();
        return lines;
    }

    private static string Said(Move<TWorld> move) => $"{move.Actor} {move.Deed}{(move.IsFault ? "  (fault)" : "")}";
}

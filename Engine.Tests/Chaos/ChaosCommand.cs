using System.Globalization;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>What <c>make chaos</c> is told.</summary>
internal sealed record ChaosSettings
{
    public int Cycles { get; init; } = 60;

    /// <summary>Ends the cycles earlier when they have taken so long.</summary>
    public int Seconds { get; init; } = int.MaxValue;

    public int Seed { get; init; } = Environment.TickCount & 0xFFFFFF;

    /// <summary>The only fault, by name; all when null.</summary>
    public string? Fault { get; init; }

    /// <summary>Whether workers write without the fence, so that the checks must fail.</summary>
    public bool Unfenced { get; init; }

    public static ChaosSettings Parse(IEnumerable<string> options)
    {
        var settings = new ChaosSettings();
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            settings = option.Split('=') switch
            {
                ["cycles", var value] => settings with { Cycles = Number(value) },
                ["seconds", var value] => settings with { Seconds = Number(value), Cycles = int.MaxValue },
                ["seed", var value] => settings with { Seed = Number(value) },
                ["fault", var value] => settings with { Fault = value },
                ["unfenced"] => settings with { Unfenced = true },
                _ => throw new ArgumentException($"\"{option}\" is no option: cycles=N, seconds=N, seed=N, fault=NAME, unfenced."),
            };
        }

        return settings;
    }

    private static int Number(string value) => int.Parse(value, CultureInfo.InvariantCulture);
}

/// <summary>The entry <c>chaos</c> of the test program.</summary>
internal static class ChaosCommand
{
    /// <returns>0 when nothing was lost, done twice, out of order or stuck; 1 otherwise; 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options)
    {
        try
        {
            var figures = await ChaosDriver.RunAsync(ChaosSettings.Parse(options), Console.Error);
            Console.WriteLine(figures);
            return figures.IsGood ? 0 : 1;
        }
        catch (ArgumentException error)
        {
            await Console.Error.WriteLineAsync(error.Message);
            return 2;
        }
    }
}

/// <summary>What a run of <c>make chaos</c> has counted; its text is the line that is printed.</summary>
internal sealed record ChaosFigures(ChaosSettings Settings, int Cycles, string Clock, IReadOnlyDictionary<string, int> Faults)
{
    public long Cuts { get; init; }

    public long Takeovers { get; init; }

    public long Refused { get; init; }

    public int Runs { get; init; }

    public required ChaosVerdict Verdict { get; init; }

    public int Stuck { get; init; }

    // Without a run, a step, or what it was about, nothing was shown.
    public bool IsGood => Verdict is { Twice: 0, Lost: 0, Disorder: 0, Failed: 0 } && Stuck == 0 && Runs > 0 && Verdict.Steps > Runs;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"seed {Settings.Seed}, cycles {Cycles}, kills {Of("kill")}, freezes {Of("freeze")}, cuts {Cuts}, delays {Of("delay")}, blackholes {Of("blackhole")}, restarts {Of("restart")}, wrong clocks {Of("clock")} ({Clock}), takeovers {Takeovers}, refused stale writes {Refused}, runs {Runs}, steps {Verdict.Steps}, stale beginnings {Verdict.StaleBeginnings}, recorded twice {Verdict.Twice}, lost {Verdict.Lost}, wrong order {Verdict.Disorder}, failed {Verdict.Failed}, stuck {Stuck}");

    private int Of(string fault) => Faults.GetValueOrDefault(fault);
}

using System.Diagnostics;
using System.Globalization;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>What a process uses, as the operating system counts it.</summary>
internal static class Usage
{
    private const double TicksPerSecond = 100;

    /// <summary>Seconds of processor time of a process so far; 0 when it has ended.</summary>
    public static double CpuSeconds(int process)
    {
        try
        {
            // The name may have spaces; it ends with the last parenthesis.
            var fields = File.ReadAllText(Of(process, "stat")).Split(')')[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return (Number(fields[11]) + Number(fields[12])) / TicksPerSecond;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>The most memory that a process has had, in MB; 0 when it has ended.</summary>
    public static double PeakMegabytes(int process)
    {
        try
        {
            var line = File.ReadLines(Of(process, "status")).FirstOrDefault(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? 0 : Number(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) / 1000;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>Measures work of a process beside a server.</summary>
    public static async Task<Pace> MeasureAsync(int process, int server, Func<Task<(long Rows, long WireBytes, long FileBytes)>> work)
    {
        var (cpu, serverCpu, clock) = (CpuSeconds(process), CpuSeconds(server), Stopwatch.StartNew());
        var (rows, wire, file) = await work();
        return new Pace
        {
            Seconds = clock.Elapsed.TotalSeconds,
            Rows = rows,
            WireBytes = wire,
            FileBytes = file,
            CpuSeconds = CpuSeconds(process) - cpu,
            ServerCpuSeconds = CpuSeconds(server) - serverCpu,
            PeakMegabytes = PeakMegabytes(process),
        };
    }

    private static string Of(int process, string file) => string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/{file}");

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}

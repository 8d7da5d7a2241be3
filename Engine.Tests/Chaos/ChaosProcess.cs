using System.Diagnostics;
using System.Text;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>A worker process of its own; killed at the end in any case.</summary>
internal sealed class ChaosProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();

    private readonly string? _log;

    private ChaosProcess(Process process, string? log) => (_process, _log) = (process, log);

    public int Id => _process.Id;

    public static ChaosProcess Start(params string[] arguments) => StartLogged(null, null, arguments);

    /// <param name="log">A file for its output; that of the test when null.</param>
    /// <param name="environment">Besides that of this process.</param>
    /// <param name="arguments">Of the test program.</param>
    public static ChaosProcess StartLogged(string? log, IReadOnlyDictionary<string, string>? environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("exec");
        start.ArgumentList.Add(typeof(ChaosProcess).Assembly.Location);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        var chaos = new ChaosProcess(new Process { StartInfo = start }, log);
        chaos._process.OutputDataReceived += chaos.Keep;
        chaos._process.ErrorDataReceived += chaos.Keep;
        chaos._process.Start();
        chaos._process.BeginOutputReadLine();
        chaos._process.BeginErrorReadLine();
        return chaos;
    }

    /// <summary>The most memory that it has had, as the operating system counts it; 0 when it has ended.</summary>
    public long PeakMegabytes()
    {
        try
        {
            var line = File.ReadLines($"/proc/{_process.Id}/status").FirstOrDefault(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) / 1000;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>Seconds of processor time that it has used; 0 when it has ended.</summary>
    public double CpuSeconds()
    {
        try
        {
            _process.Refresh();
            return _process.TotalProcessorTime.TotalSeconds;
        }
        catch (InvalidOperationException)
        {
            return 0;
        }
    }

    public async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    public async Task<int> ExitAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await _process.WaitForExitAsync(deadline.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        lock (_output)
        {
            if (_log is null)
            {
                TestContext.Out.WriteLine(_output);
            }
            else
            {
                File.WriteAllText(_log, _output.ToString());
            }
        }

        _process.Dispose();
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_output)
        {
            _output.AppendLine(line.Data);
        }
    }
}

using System.Collections;
using System.Diagnostics;
using System.Text;

namespace Exporter.Exports.Tests.Cli;

/// <summary>The program <c>exporter</c> in a process of its own, as a shell would start it, with an environment that is only its own.</summary>
internal sealed class ExporterCli(string folder, IReadOnlyDictionary<string, string?> settings)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    /// <summary>Runs a command to its end.</summary>
    public Task<CliResult> RunAsync(params string[] arguments) => RunAsync(new CliCall(), arguments);

    /// <summary>Runs a command to its end, with more variables or with something on standard input.</summary>
    public async Task<CliResult> RunAsync(CliCall call, params string[] arguments)
    {
        await using var running = Start(call, arguments);
        if (call.StandardInput is { } input)
        {
            await running.WriteAsync(input);
        }

        running.EndInput();
        return await running.EndAsync(call.Patience ?? Patience);
    }

    // As it is built, with all that it needs: what ASP.NET has is left out beside the tests.
    public static string Program { get; } = Path.Combine(
        AppContext.BaseDirectory.Replace($"{Path.DirectorySeparatorChar}Exports.Tests{Path.DirectorySeparatorChar}", $"{Path.DirectorySeparatorChar}Exports{Path.DirectorySeparatorChar}", StringComparison.Ordinal),
        "exporter.dll");

    /// <summary>Starts a command that goes on until it is told to stop; disposing ends it in any case.</summary>
    public CliProcess Start(CliCall call, params string[] arguments)
    {
        string[] words = [.. call.Shell, "dotnet", "exec", Program, .. arguments];
        var start = new ProcessStartInfo(words[0], words[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = folder,
        };

        // Nothing of the machine that would change an answer: no settings, no colours, no cloud's keys.
        foreach (var name in Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(entry => (string)entry.Key))
        {
            if (name.StartsWith("EXPORTER_", StringComparison.Ordinal) || name.StartsWith("AWS_", StringComparison.Ordinal))
            {
                start.Environment.Remove(name);
            }
        }

        start.Environment["NO_COLOR"] = "1";
        start.Environment["TERM"] = "dumb";
        start.Environment["XDG_CONFIG_HOME"] = folder;
        foreach (var (name, value) in settings.Concat(call.Environment))
        {
            start.Environment[name] = value;
        }

        return CliProcess.Start(start);
    }
}

/// <summary>What one call has beside its arguments; a variable that is null is not set.</summary>
internal sealed record CliCall
{
    public Dictionary<string, string?> Environment { get; init; } = [];

    public string? StandardInput { get; init; }

    public TimeSpan? Patience { get; init; }

    /// <summary>What starts the program, which gets it as its arguments. Default nothing.</summary>
    public IReadOnlyList<string> Shell { get; init; } = [];
}

/// <summary>How a command ended, and all that it said.</summary>
internal sealed record CliResult(int Status, string Out, string Error)
{
    /// <summary>Its answer, of a command that must have worked.</summary>
    public string Answer
    {
        get
        {
            Assert.That(Status, Is.Zero, Error + Out);
            return Out;
        }
    }
}

/// <summary>A command in progress.</summary>
internal sealed class CliProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _out = new();
    private readonly StringBuilder _error = new();

    private CliProcess(Process process) => _process = process;

    /// <summary>What it has said so far, on both of its outputs.</summary>
    public string Log => Text(_out) + Text(_error);

    public bool HasExited => _process.HasExited;

    public int Id => _process.Id;

    public static CliProcess Start(ProcessStartInfo start)
    {
        var running = new CliProcess(new Process { StartInfo = start });
        running._process.OutputDataReceived += (_, line) => Keep(running._out, line.Data);
        running._process.ErrorDataReceived += (_, line) => Keep(running._error, line.Data);
        running._process.Start();
        running._process.BeginOutputReadLine();
        running._process.BeginErrorReadLine();
        return running;
    }

    public Task WriteAsync(string text) => _process.StandardInput.WriteAsync(text);

    public void EndInput() => _process.StandardInput.Close();

    /// <summary>SIGTERM, as an operator or a supervisor stops it.</summary>
    public async Task TerminateAsync()
    {
        using var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    public async Task<CliResult> EndAsync(TimeSpan patience)
    {
        using var deadline = new CancellationTokenSource(patience);
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"Not ended within {patience.TotalSeconds} s: {string.Join(' ', _process.StartInfo.ArgumentList)}\n{Log}");
        }

        return new CliResult(_process.ExitCode, Text(_out), Text(_error));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private static string Text(StringBuilder text)
    {
        lock (text)
        {
            return text.ToString();
        }
    }

    private static void Keep(StringBuilder text, string? line)
    {
        lock (text)
        {
            if (line is not null)
            {
                text.Append(line).Append('\n');
            }
        }
    }
}

using System.Diagnostics;

namespace Exporter.Exports.Testing;

/// <summary>A shell script whose input ends with this process, even when that is killed; the script then ends what it started.</summary>
internal sealed class GuardedProcess : IAsyncDisposable
{
    private readonly Process _shell;

    private GuardedProcess(Process shell) => _shell = shell;

    /// <summary>Whether the script ended.</summary>
    public bool HasExited => _shell.HasExited;

    /// <summary>Starts a script with these variables.</summary>
    public static GuardedProcess Start(string script, IReadOnlyDictionary<string, string> variables)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", script])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, WorkingDirectory = "/",
        };
        foreach (var (name, value) in variables)
        {
            start.Environment[name] = value;
        }

        return new GuardedProcess(Process.Start(start)!);
    }

    /// <summary>The next line that the script prints; null when it ended.</summary>
    public ValueTask<string?> ReadLineAsync(CancellationToken cancellationToken) => _shell.StandardOutput.ReadLineAsync(cancellationToken);

    /// <summary>Ends the script and what it started.</summary>
    public async ValueTask DisposeAsync()
    {
        _shell.StandardInput.Close();
        await _shell.WaitForExitAsync().ConfigureAwait(false);
        _shell.Dispose();
    }
}

using System.Diagnostics;
using System.Text;

namespace Exporter.Exports.Cli.Demo;

/// <summary>A worker in a process of its own, as an operator would start it, so that it can be killed.</summary>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _log = new();

    private WorkerProcess(Process process) => _process = process;

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it has logged.</summary>
    public string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    public static WorkerProcess Start(DemoServers servers, TimeSpan lease)
    {
        // Secrets go by environment: a command line can be read by everybody on the machine.
        var start = new ProcessStartInfo("dotnet", ["exec", typeof(WorkerProcess).Assembly.Location, "worker"])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            Environment =
            {
                ["EXPORTER_POSTGRES"] = servers.Database,
                ["EXPORTER_CLICKHOUSE"] = servers.ClickHouse.ConnectionString,
                ["EXPORTER_ENCRYPTION_KEY"] = servers.Key,
                ["EXPORTER_WORKER_LEASE"] = lease.TotalSeconds.ToString("0", System.Globalization.CultureInfo.InvariantCulture) + "s",
            },
        };
        var worker = new WorkerProcess(new Process { StartInfo = start });
        worker._process.OutputDataReceived += worker.Keep;
        worker._process.ErrorDataReceived += worker.Keep;
        worker._process.Start();
        worker._process.BeginOutputReadLine();
        worker._process.BeginErrorReadLine();
        return worker;
    }

    /// <summary>SIGKILL: nothing is flushed, nobody is told.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        await _process.WaitForExitAsync().ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        _process.Dispose();
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
        {
            _log.AppendLine(line.Data);
        }
    }
}

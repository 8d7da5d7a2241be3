using System.CommandLine;
using System.Globalization;
using Exporter.Engine.Payloads;
using Exporter.Exports.Model;
using Npgsql;
using Spectre.Console;

namespace Exporter.Exports.Cli.Demo;

/// <summary><c>exporter dev</c>: the demo's servers with a table, a destination, an export and a worker, until Ctrl-C.</summary>
internal static class DevCommand
{
    public static CliCommand Command()
    {
        var rows = new Option<long>("--rows")
        {
            Description = "Rows of the source, from 1,000 to 100,000,000", HelpName = "number", DefaultValueFactory = _ => 100_000,
        };
        return new CliCommand(
            "dev",
            "Run the demo's servers and a worker for trying things by hand, until Ctrl-C; nothing is kept",
            "exporter dev").With(rows).Does((parse, _, cancellationToken) =>
            {
                ModelCheck.Range("rows", parse.GetValue(rows), 1_000, 100_000_000);
                return RunAsync(AnsiConsole.Console, parse.GetValue(rows), cancellationToken);
            });
    }

    private static async Task RunAsync(IAnsiConsole console, long rows, CancellationToken cancellationToken)
    {
        var output = Directory.CreateTempSubdirectory("exporter-dev-").FullName;
        try
        {
            var servers = await DemoServers.StartAsync(cancellationToken).ConfigureAwait(false);
            await using var ending = servers.ConfigureAwait(false);
            await DemoData.CreateAsync(servers.ClickHouse, rows, _ => { }, cancellationToken).ConfigureAwait(false);
            var data = NpgsqlDataSource.Create(servers.Database);
            await using var closing = data.ConfigureAwait(false);
            var codec = new PayloadCodec(KeyRing.Parse(servers.Key));
            await DemoExport.CreateAsync(
                data, codec, output, new ExportSettings { TargetSliceBytes = 16L << 20 }, "Unpause it with: exporter export unpause events", cancellationToken).ConfigureAwait(false);
            var worker = WorkerProcess.Start(servers, TimeSpan.FromSeconds(30));
            await using var stopping = worker.ConfigureAwait(false);
            var runs = new RunStore(data);
            await WhileAliveAsync(worker, async () => (await runs.LiveWorkersAsync(cancellationToken).ConfigureAwait(false)).Count == 0, cancellationToken).ConfigureAwait(false);
            var database = new NpgsqlConnectionStringBuilder(servers.Database);
            // Written as they are: a line that a terminal has broken cannot be pasted.
            console.Profile.Out.Writer.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"""
                A worker (process {worker.Id}) waits for work. {DemoData.Table} has {rows:N0} rows of {DemoData.Day}.
                The destination "files" is {output}; the export "events" is paused. Paste this into another terminal:

                  export EXPORTER_POSTGRES='{servers.Database}'
                  export EXPORTER_CLICKHOUSE='{servers.ClickHouse.ConnectionString}'
                  export EXPORTER_ENCRYPTION_KEY='{servers.Key}'
                  alias exporter='dotnet exec {typeof(DevCommand).Assembly.Location}'
                  exporter export run events --start 2026-10-01 --end 2026-10-02
                  exporter run list
                  psql -h {database.Host} -p {database.Port} -U {database.Username} {database.Database} -c 'select * from exports.runs'

                Ctrl-C ends everything and removes it.
                """));
            await WhileAliveAsync(worker, () => Task.FromResult(true), cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Ctrl-C is how this ends.
        }
        finally
        {
            Directory.Delete(output, recursive: true);
        }
    }

    // Looks every now and then whether it has to wait for longer.
    private static async Task WhileAliveAsync(WorkerProcess worker, Func<Task<bool>> waits, CancellationToken cancellationToken)
    {
        while (await waits().ConfigureAwait(false))
        {
            if (worker.HasExited)
            {
                throw new InvalidOperationException($"The worker has ended: {worker.Log}");
            }

            await Task.Delay(200, cancellationToken).ConfigureAwait(false);
        }
    }
}

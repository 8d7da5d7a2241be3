using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Exports.Model;
using Npgsql;
using Spectre.Console;

namespace Exporter.Exports.Cli.Demo;

/// <summary>
/// A real export whose worker is killed when half of its slices are committed. Another worker goes on, and ClickHouse counts
/// what lies in the files.
/// </summary>
internal sealed class DemoCommand(IAnsiConsole console, long rows)
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(15);

    /// <summary><c>exporter demo</c>.</summary>
    public static CliCommand Command()
    {
        var rows = new Option<long>("--rows")
        {
            Description = "Rows of the source, from 1,000 to 100,000,000", HelpName = "number", DefaultValueFactory = _ => 500_000,
        };
        return new CliCommand(
            "demo",
            "Export half a million events with private servers, kill the worker half-way, and count what arrived",
            "exporter demo",
            "exporter demo --rows 2000000").With(rows).Does((parse, _, cancellationToken) =>
            {
                ModelCheck.Range("rows", parse.GetValue(rows), 1_000, 100_000_000);
                return new DemoCommand(AnsiConsole.Console, parse.GetValue(rows)).RunAsync(cancellationToken);
            });
    }

    /// <summary>Runs the demo.</summary>
    /// <returns>0 when files and source have the same rows and the same keys.</returns>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        console.MarkupLine("[bold]exporter demo[/]: private PostgreSQL and ClickHouse, one export, one worker killed half-way");
        var output = Directory.CreateTempSubdirectory("exporter-demo-").FullName;
        try
        {
            var servers = await DemoServers.StartAsync(cancellationToken).ConfigureAwait(false);
            await using var ending = servers.ConfigureAwait(false);
            var data = NpgsqlDataSource.Create(servers.Database);
            await using var closing = data.ConfigureAwait(false);
            return await console.Progress().AutoClear(false).HideCompleted(false)
                .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
                .StartAsync(progress => ExportAsync(progress, servers, data, output, cancellationToken))
                .ConfigureAwait(false) is { } result
                    ? await ReportAsync(servers, data, output, result, cancellationToken).ConfigureAwait(false)
                    : 1;
        }
        finally
        {
            Directory.Delete(output, recursive: true);
        }
    }

    private async Task<DemoResult?> ExportAsync(
        ProgressContext progress, DemoServers servers, NpgsqlDataSource data, string output, CancellationToken cancellationToken)
    {
        var filling = progress.AddTask(Invariant($"fill {DemoData.Table} with {rows:N0} events and 5% duplicates"), maxValue: rows);
        await DemoData.CreateAsync(servers.ClickHouse, rows, filled => filling.Value = filled, cancellationToken).ConfigureAwait(false);
        filling.StopTask();

        var runs = new RunStore(data);
        var runId = await StartRunAsync(servers, data, runs, output, cancellationToken).ConfigureAwait(false);
        var exporting = progress.AddTask("plan the run", maxValue: 1);
        var clock = Stopwatch.StartNew();
        WorkerProcess? worker = WorkerProcess.Start(servers, Lease);
        var killed = false;
        var committedAtKill = 0;
        try
        {
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var run = await runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
                if (run.Slices is { } slices and > 0)
                {
                    exporting.MaxValue = slices;
                    exporting.Value = run.SlicesCommitted;
                    exporting.Description = Invariant($"{(killed ? "resumed" : "export")}: {run.SlicesCommitted} of {slices} slices committed, {run.ExportedRows:N0} rows");
                    if (!killed && run.SlicesCommitted >= (slices + 1) / 2)
                    {
                        await worker.KillAsync().ConfigureAwait(false);
                        await worker.DisposeAsync().ConfigureAwait(false);
                        committedAtKill = (await runs.GetAsync(runId, cancellationToken).ConfigureAwait(false)).SlicesCommitted;
                        console.MarkupLine(Invariant($"[red]SIGKILL[/] to the worker at {committedAtKill} of {slices} slices; another one starts"));
                        worker = WorkerProcess.Start(servers, Lease);
                        killed = true;
                    }
                }

                if (run.State is { } state && RunStateText.Parse(state).IsFinal())
                {
                    exporting.StopTask();
                    if (state == "completed")
                    {
                        return new DemoResult(runId, run, clock.Elapsed, committedAtKill);
                    }

                    console.MarkupLine($"[red]The run is {state}:[/] {Markup.Escape(run.Error ?? "")}");
                    return null;
                }

                if (worker.HasExited || clock.Elapsed > Longest)
                {
                    console.MarkupLine("[red]The worker ended, or the run takes too long.[/] Its log:");
                    console.WriteLine(worker.Log);
                    return null;
                }

                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            await worker.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<Guid> StartRunAsync(
        DemoServers servers, NpgsqlDataSource data, RunStore runs, string output, CancellationToken cancellationToken)
    {
        var codec = new PayloadCodec(KeyRing.Parse(servers.Key));
        // About twenty slices, whatever the size.
        var settings = new ExportSettings { TargetSliceBytes = Math.Max(1L << 20, rows * 1600 / 20) };
        var export = await DemoExport.CreateAsync(data, codec, output, settings, "The demo starts its one run by hand.", cancellationToken).ConfigureAwait(false);
        return await new RunControl(data, new EngineClient(data, codec), runs).StartAsync(export, DemoData.Day, "demo", cancellationToken).ConfigureAwait(false);
    }

    private async Task<int> ReportAsync(
        DemoServers servers, NpgsqlDataSource data, string output, DemoResult result, CancellationToken cancellationToken)
    {
        // Counted by ClickHouse, which reads the files; not by us.
        var files = $"file('{output}/**/*.parquet', 'Parquet')";
        const string Keys = "toString(uuid) AS u, team_id AS t, toUnixTimestamp64Micro(timestamp) AS s";
        var source = await CountAsync($"SELECT uniqExact(uuid, team_id, timestamp) FROM {DemoData.Table}").ConfigureAwait(false);
        var stored = await CountAsync($"SELECT count() FROM {DemoData.Table}").ConfigureAwait(false);
        var exported = await CountAsync($"SELECT count() FROM {files}").ConfigureAwait(false);
        var missing = await CountAsync($"SELECT count() FROM (SELECT {Keys} FROM {DemoData.Table} EXCEPT DISTINCT SELECT {Keys} FROM {files})").ConfigureAwait(false);
        var foreign = await CountAsync($"SELECT count() FROM (SELECT {Keys} FROM {files} EXCEPT DISTINCT SELECT {Keys} FROM {DemoData.Table})").ConfigureAwait(false);
        var again = await AskAsync<long>(
            "select count(distinct place) from engine.attempts where run_id = @RunId and name = 'slice' and state = 'failed'").ConfigureAwait(false);

        var table = new Table().Border(TableBorder.Rounded).AddColumn("what").AddColumn(new TableColumn("number").RightAligned());
        Add("rows in the source, with duplicates", stored);
        Add("distinct rows in the source", source);
        Add("rows in the Parquet files, counted by ClickHouse", exported);
        Add("keys of the source that are not in the files", missing);
        Add("keys in the files that are not in the source", foreign);
        Add("slices", result.Run.Slices ?? 0);
        Add("slices committed when the worker was killed", result.CommittedAtKill);
        Add("slices in progress then, done again", again);
        Add("bytes on the wire", result.Run.SourceBytes);
        Add("bytes written", result.Run.BytesWritten);
        table.AddRow("seconds", result.Took.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture));
        console.Write(table);

        await ShowAsync("select state, slices, slices_committed, expected_rows, exported_rows, epoch from exports.runs").ConfigureAwait(false);
        await ShowAsync("select epoch, count(*) as slices, sum(rows) as rows from exports.slices where state = 'committed' group by epoch order by epoch").ConfigureAwait(false);
        await ShowAsync("select name, state, refused_writes from engine.workers order by started_at").ConfigureAwait(false);

        var equal = exported == source && missing == 0 && foreign == 0 && result.CommittedAtKill > 0;
        console.MarkupLine(equal ? "[green]Every row is there exactly once.[/]" : "[red]The files and the source differ.[/]");
        return equal ? 0 : 1;

        void Add(string what, long number) => table.AddRow(what, Invariant($"{number:N0}"));

        async Task<long> CountAsync(string sql) =>
            long.Parse(await servers.ClickHouse.ExecuteAsync(sql, cancellationToken).ConfigureAwait(false), CultureInfo.InvariantCulture);

        async Task<T?> AskAsync<T>(string sql)
        {
            var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = connection.ConfigureAwait(false);
            return await connection.ExecuteScalarAsync<T>(sql, new { result.RunId }).ConfigureAwait(false);
        }

        async Task ShowAsync(string sql)
        {
            var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = connection.ConfigureAwait(false);
            var command = new NpgsqlCommand(sql, connection);
            await using var disposing = command.ConfigureAwait(false);
            var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var ended = reader.ConfigureAwait(false);
            var answer = new Table().Border(TableBorder.Minimal);
            console.Profile.Out.Writer.WriteLine($"> {sql};");
            for (var column = 0; column < reader.FieldCount; column++)
            {
                answer.AddColumn(reader.GetName(column));
            }

            while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                answer.AddRow([.. Enumerable.Range(0, reader.FieldCount).Select(column => Markup.Escape(Convert.ToString(reader.GetValue(column), CultureInfo.InvariantCulture) ?? ""))]);
            }

            console.Write(answer);
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record DemoResult(Guid RunId, RunView Run, TimeSpan Took, int CommittedAtKill);
}

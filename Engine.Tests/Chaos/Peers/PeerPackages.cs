using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos.Peers;

/// <summary>Other engines on PostgreSQL: fetched from npm into .tools, at the versions and hashes of package-lock.json, and driven by a script.</summary>
internal static class PeerPackages
{
    private static readonly string Own = Path.GetDirectoryName(SourceFile())!;
    private static readonly string Folder = Path.Combine(ToolFolder.Candidates("").First(Directory.Exists), "peers");

    /// <summary>absurd's SQL: its package has the library alone. Null, and a line that says why, when nobody says where it is.</summary>
    public static string? AbsurdSql(TextWriter output)
    {
        if (Environment.GetEnvironmentVariable("ABSURD_SQL") is { Length: > 0 } file)
        {
            return Path.GetFullPath(file);
        }

        output.WriteLine("absurd is left out: its SQL is in no npm package. Take sql/absurd.sql of release 0.4.0 from its repository and set ABSURD_SQL to it.");
        return null;
    }

    /// <summary>Fetches the packages.</summary>
    /// <returns>False when that cannot be; a line says why.</returns>
    public static async Task<bool> FetchAsync(TextWriter output)
    {
        Directory.CreateDirectory(Folder);
        foreach (var name in new[] { "package.json", "package-lock.json" })
        {
            File.Copy(Path.Combine(Own, name), Path.Combine(Folder, name), overwrite: true);
        }

        return await TryAsync(() => ExecuteAsync("npm", TextWriter.Null.WriteLine, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]), output);
    }

    /// <summary>Runs a script among the packages.</summary>
    /// <param name="script">Its file, wherever it is.</param>
    /// <param name="line">Called with each line that it says.</param>
    /// <param name="output">For the reason when it fails.</param>
    /// <param name="arguments">For the script.</param>
    /// <returns>False when it failed.</returns>
    public static async Task<bool> RunAsync(string script, Action<string> line, TextWriter output, params string[] arguments)
    {
        File.Copy(script, Path.Combine(Folder, Path.GetFileName(script)), overwrite: true);
        return await TryAsync(() => ExecuteAsync("node", line, [Path.GetFileName(script), .. arguments]), output);
    }

    /// <summary>The form that node-postgres takes.</summary>
    public static string UrlOf(string connectionString)
    {
        var of = new NpgsqlConnectionStringBuilder(connectionString);
        return new UriBuilder("postgres", of.Host, of.Port, of.Database)
        {
            UserName = Uri.EscapeDataString(of.Username ?? ""), Password = Uri.EscapeDataString(of.Password ?? ""),
        }.Uri.AbsoluteUri;
    }

    private static async Task<bool> TryAsync(Func<Task> call, TextWriter output)
    {
        try
        {
            await call();
            return true;
        }
        catch (Exception error) when (error is Win32Exception or InvalidOperationException)
        {
            await output.WriteLineAsync($"PEERS=1 needs node 20 or newer and npm: {error.Message}");
            return false;
        }
    }

    private static async Task ExecuteAsync(string program, Action<string> line, string[] arguments)
    {
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(program, arguments) { WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true },
        };
        process.Start();
        var errors = process.StandardError.ReadToEndAsync();
        while (await process.StandardOutput.ReadLineAsync() is { } said)
        {
            line(said);
        }

        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {arguments[0]} ended with status {process.ExitCode}: {await errors}");
        }
    }

    private static string SourceFile([CallerFilePath] string file = "") => file;
}

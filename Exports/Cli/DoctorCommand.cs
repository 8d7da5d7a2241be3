using System.CommandLine;
using System.Security.Cryptography;
using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter doctor</c>: checks every server that it can reach, and says what is wrong.</summary>
internal static class DoctorCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public static Command Doctor() => new CliCommand(
        "doctor",
        "Check settings, servers, workers and destinations, and say what is wrong; changes nothing",
        "exporter doctor",
        "exporter doctor --json").Does(async (_, session, cancellationToken) =>
        {
            var findings = new List<Finding>();
            findings.AddRange(Settings(session.Settings));
            findings.AddRange(await PostgresAsync(session, cancellationToken).ConfigureAwait(false));
            findings.AddRange(await ClickHouseAsync(session, cancellationToken).ConfigureAwait(false));
            if (findings.TrueForAll(finding => finding.Result != FindingResult.Failed || finding.Part == "clickhouse"))
            {
                findings.AddRange(await StoredAsync(session, cancellationToken).ConfigureAwait(false));
            }

            session.Output.Answer(findings, output => output.Table(
                ["PART", "RESULT", "FOUND"],
                findings.Select(finding => (IReadOnlyList<string?>)[finding.Part, ExportJson.Word(finding.Result), finding.Text]),
                ""));
            return findings.Exists(finding => finding.Result == FindingResult.Failed) ? ExitStatus.Failed : ExitStatus.Ok;
        });

    private static IEnumerable<Finding> Settings(ExporterSettings settings)
    {
        yield return new("settings", FindingResult.Ok, settings.File is { } file ? $"read from {file}" : "no configuration file");
        if (settings.File is { } read && !OperatingSystem.IsWindows()
            && (File.GetUnixFileMode(read) & (UnixFileMode.GroupRead | UnixFileMode.OtherRead)) != 0
            && ExporterSettings.Known.Any(info => info.Secret && settings.Find(info.Name)?.Source == read))
        {
            yield return new("settings", FindingResult.Warning, $"{read} holds secrets and others may read it: chmod 600 {read}");
        }

        yield return Try("encryption key", () =>
        {
            settings.RequiredKeys();
            return $"from {settings.Find("encryption_key")!.Source}";
        });
    }

    private static async Task<List<Finding>> PostgresAsync(Session session, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        findings.Add(await TryAsync("postgres", async patience =>
        {
            var connection = await session.Data.OpenConnectionAsync(patience).ConfigureAwait(false);
            await using var closing = connection.ConfigureAwait(false);
            var version = connection.PostgreSqlVersion;
            return version.Major >= 15
                ? $"PostgreSQL {version} at {ConnectionText.Place(session.Settings.Postgres)}"
                : throw new UserErrorException("postgres", $"PostgreSQL is version {version}.", "Use 15 or newer.");
        }, cancellationToken).ConfigureAwait(false));
        if (findings[0].Result == FindingResult.Ok)
        {
            findings.Add(await TryAsync("schema", async patience =>
            {
                var missing = await ExportSchema.MissingAsync(session.Data, patience).ConfigureAwait(false);
                return missing.Count == 0
                    ? "up to date"
                    : throw new UserErrorException("postgres", $"{string.Join(", ", missing)} was not applied.", "Run `exporter migrate`.");
            }, cancellationToken).ConfigureAwait(false));
        }

        return findings;
    }

    // Every host: one that cannot be reached is a warning as long as another one can.
    private static async Task<IReadOnlyList<Finding>> ClickHouseAsync(Session session, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        var opened = await TryAsync("clickhouse", async patience =>
        {
            using var source = session.OpenSource();
            await foreach (var (host, check) in source.CheckHostsAsync(patience).ConfigureAwait(false))
            {
                findings.Add(new("clickhouse", check.Ok ? FindingResult.Ok : FindingResult.Failed, $"{check.Detail} at {host}"));
            }

            return "";
        }, cancellationToken).ConfigureAwait(false);
        return opened.Result == FindingResult.Failed ? [.. findings, opened]
            : findings.Exists(finding => finding.Result == FindingResult.Ok)
                ? [.. findings.Select(finding => finding with { Result = finding.Result == FindingResult.Ok ? FindingResult.Ok : FindingResult.Warning })]
                : findings;
    }

    // What is stored: workers that live, destinations that can be reached, exports whose tables are there.
    private static async Task<List<Finding>> StoredAsync(Session session, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>
        {
            await TryAsync("workers", async patience =>
            {
                var alive = await session.Runs.LiveWorkersAsync(patience).ConfigureAwait(false);
                return alive.Count > 0 ? $"alive: {string.Join(", ", alive)}" : throw new UserErrorException(
                    "worker", "No worker is alive, so nothing is exported.", "Start one: exporter worker");
            }, cancellationToken).ConfigureAwait(false),
        };
        foreach (var found in await session.Destinations.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            findings.Add(await TryAsync($"destination {found.Name}", async patience =>
            {
                var destination = await session.Destinations.LoadAsync(found.DestinationId, patience).ConfigureAwait(false);
                var open = DestinationKinds.Open(destination, new FormatOptions());
                await using var closing = open.ConfigureAwait(false);
                await foreach (var check in open.CheckAsync(patience).ConfigureAwait(false))
                {
                    if (!check.Ok)
                    {
                        throw new UserErrorException("destination", $"{check.Step}: {check.Detail}", "");
                    }
                }

                return $"{found.Kind}, can be written";
            }, cancellationToken).ConfigureAwait(false));
        }

        foreach (var export in await session.Exports.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            findings.Add(await TryAsync($"export {export.Name}", async patience =>
            {
                using var source = session.OpenSource();
                var columns = await source.DescribeAsync(export.Model, patience).ConfigureAwait(false);
                return $"{columns.Count} columns of {export.Model.SourceName}{(export.Paused ? ", paused" : "")}";
            }, cancellationToken).ConfigureAwait(false));
        }

        return findings;
    }

    private static Finding Try(string part, Func<string> look)
    {
        try
        {
            return new(part, FindingResult.Ok, look());
        }
        catch (Exception error) when (error is UserErrorException or CryptographicException)
        {
            return Failed(part, error);
        }
    }

    private static async Task<Finding> TryAsync(string part, Func<CancellationToken, Task<string>> look, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            return new(part, FindingResult.Ok, await look(patience.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new(part, FindingResult.Failed, $"no answer within {Patience.TotalSeconds} s");
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            return Failed(part, error);
        }
    }

    private static Finding Failed(string part, Exception error)
    {
        var (_, message, _, advice) = Invocation.Sort(error);
        return new(part, FindingResult.Failed, ErrorText.Scrub($"{message} {advice}".Trim()));
    }
}

/// <summary>A line of what the doctor found.</summary>
internal sealed record Finding(string Part, FindingResult Result, string Text);

/// <summary>How bad it is.</summary>
internal enum FindingResult
{
    Ok,
    Warning,
    Failed,
}

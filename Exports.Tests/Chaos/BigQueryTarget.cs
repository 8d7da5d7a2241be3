using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>The double of BigQuery, which now and then refuses, asks for a pause, takes its time, lets a job fail, loses a part of an upload, or breaks the
/// connection before or after it has done what it was asked for. Exports append and merge in turn.</summary>
internal sealed class BigQueryTarget(BigQueryServer server) : IChaosTarget
{
    private readonly HashSet<string> _appended = [];
    private int _made;
    private long _faults;

    public bool HasManifest => false;

    public long Faults => Interlocked.Read(ref _faults);

    public static async Task<BigQueryTarget> OpenAsync(int seed)
    {
        var server = await BigQueryServer.StartAsync();
        var target = new BigQueryTarget(server);
        var random = new Random(seed);
        server.Fault = call =>
        {
            lock (random)
            {
                var fault = random.Next(100) switch
                {
                    < 2 => new BigQueryFault { Status = 503 },
                    < 3 => new BigQueryFault { Status = 403, Reason = "rateLimitExceeded" },
                    < 5 => new BigQueryFault(),
                    < 8 => new BigQueryFault { Executes = true },
                    < 9 => new BigQueryFault { Executes = true, Status = 500 },
                    < 14 => new BigQueryFault { Polls = 2 },
                    < 16 when call.Kind == "job.insert" => new BigQueryFault { Fails = new BigQueryFailure(400, "jobBackendError", "Try again.") },
                    < 18 when call.Kind == "job.insert" => new BigQueryFault { Fails = BigQueryFailure.Query("Transaction is aborted due to concurrent update against table x. Transaction ID: 1") },
                    _ => null,
                };
                target._faults += fault is null ? 0 : 1;
                return fault;
            }
        };
        return target;
    }

    public Task<Destination> MakeAsync(string name, string root)
    {
        (string, object?)[] mode = _made++ % 2 == 1 ? [("mode", "merge"), ("key", "id")] : [];
        if (mode.Length == 0)
        {
            _appended.Add(name);
        }

        return Task.FromResult(server.Configured(mode) with { Name = name });
    }

    public async Task FetchAsync(string name, string root)
    {
        if (!server.Tables.All.ContainsKey(name))
        {
            return;
        }

        // The query of docs/destinations/bigquery.md.
        var untrue = await server.ListAsync(
            $"""
            SELECT c.slice || ': ' || c.row_count || ' and ' || COUNT(e._exporter_commit) FROM {Table("_exporter_commits_" + name)} AS c
            LEFT JOIN {(_appended.Contains(name) ? Table(name) : "(SELECT '' AS _exporter_commit)")} AS e ON e._exporter_commit = c.claim_id
            WHERE c.committed_at IS NOT NULL AND {(_appended.Contains(name) ? "true" : "false")} GROUP BY c.slice, c.claim_id, c.row_count HAVING COUNT(e._exporter_commit) <> c.row_count
            """);
        if (untrue.Count > 0)
        {
            throw new InvalidDataException($"The table of commits says other rows than there are: {string.Join(", ", untrue)}");
        }

        var rows = await server.ListAsync($"SELECT concat('{{\"id\":', CAST(id AS BIGINT), ',\"text\":\"', text, '\"}}') FROM {Table(name)}");
        await File.WriteAllLinesAsync(Path.Combine(root, "rows.jsonl"), rows.Select(row => row!));
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();

    private static string Table(string name) => $"\"{BigQueryTables.Project}\".\"{BigQueryTables.Dataset}\".\"{name}\"";
}

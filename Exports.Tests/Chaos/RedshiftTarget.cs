using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>The double of Redshift, which now and then gives a transaction up, is cancelled, or breaks connections in mid-statement, also those over which a commit was sent.
/// Exports append and merge, by COPY and by INSERT, in turn.</summary>
internal sealed class RedshiftTarget(RedshiftServer server) : IChaosTarget
{
    private readonly HashSet<string> _appended = [];
    private long _faults;
    private int _made;

    public bool HasManifest => false;

    public long Faults => Interlocked.Read(ref _faults) + server.Cuts;

    public static async Task<RedshiftTarget> OpenAsync(LocalS3 s3, string postgres, int seed)
    {
        var server = await RedshiftServer.StartAsync(s3, postgres);
        var target = new RedshiftTarget(server);
        var random = new Random(seed);
        server.Fault = call =>
        {
            lock (random)
            {
                var fault = Choose(random, call.Text);
                target._faults += fault is null ? 0 : 1;
                return fault;
            }
        };
        return target;
    }

    public Task<Destination> MakeAsync(string name, string root)
    {
        (string, object?)[] settings = (_made++ % 4) switch
        {
            0 => [],
            1 => [("mode", "merge"), ("key", "id")],
            2 => [("load", "insert")],
            _ => [("load", "insert"), ("mode", "merge"), ("key", "id")],
        };
        if (_made % 2 == 1)
        {
            _appended.Add(name);
        }

        return Task.FromResult(server.Configured(settings) with { Name = name });
    }

    public void Break(Random random)
    {
        if (random.Next(2) == 0)
        {
            server.CutAll();
        }
    }

    public async Task FetchAsync(string name, string root)
    {
        // None of an export that did not come so far.
        if ((await server.ListAsync<string?>($"select to_regclass('public.\"{name}\"')::text"))[0] is null)
        {
            return;
        }

        var wrong = (await server.StagedAsync()).Where(key => key.Contains($"/{name}/", StringComparison.Ordinal)).ToList();
        if (_appended.Contains(name))
        {
            // The query of docs/destinations/redshift.md.
            wrong.AddRange(await server.ListAsync<string>(
                $"""
                select c.slice || ': ' || c.row_count || ' and ' || count(e._exporter_commit)
                from _exporter_commits c left join "{name}" e on e._exporter_commit = c.commit_id
                where c.export = '{name}' group by c.interval_key, c.slice, c.row_count having count(e._exporter_commit) <> c.row_count
                """));
        }

        if (wrong.Count > 0)
        {
            throw new InvalidDataException($"Staged files are left, or _exporter_commits says other rows than there are: {string.Join(", ", wrong)}");
        }

        await File.WriteAllLinesAsync(Path.Combine(root, "rows.jsonl"), await server.ListAsync<string>($"select json_build_object('id', id, 'text', text)::text from \"{name}\""));
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();

    // A slice is thirty statements, each of which may be hit.
    private static RedshiftFault? Choose(Random random, string statement) => (random.Next(1_000), statement) switch
    {
        ( < 20, "COMMIT") => RedshiftFault.NotSerializable,
        ( < 60, "COMMIT") => new RedshiftFault { Cut = RedshiftCut.Client },
        ( < 80, "COMMIT") => new RedshiftFault { Cut = RedshiftCut.After },
        ( < 2, _) => new RedshiftFault { Cut = RedshiftCut.Both },
        ( < 3, _) => RedshiftFault.Cancelled,
        ( < 5, _) => new RedshiftFault { Cut = RedshiftCut.Client },
        _ => null,
    };
}

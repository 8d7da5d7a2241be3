using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>The double of Snowflake, which now and then refuses, asks for a pause, takes its time, forgets what it has executed, or breaks the
/// connection before or after it has.</summary>
internal sealed class SnowflakeTarget(SnowflakeServer server) : IChaosTarget
{
    public bool HasManifest => false;

    public static async Task<SnowflakeTarget> OpenAsync(LocalS3 s3, int seed)
    {
        var server = await SnowflakeServer.StartAsync(s3);
        var random = new Random(seed);
        server.Fault = _ =>
        {
            lock (random)
            {
                server.ForgetsRequests = random.Next(2) == 0;
                return random.Next(100) switch
                {
                    < 2 => new SnowflakeFault { Status = 503 },
                    < 3 => new SnowflakeFault { Status = 429, RetryAfter = "1" },
                    < 5 => new SnowflakeFault(),
                    < 9 => new SnowflakeFault { Executes = true },
                    < 10 => new SnowflakeFault { Executes = true, Status = 500 },
                    < 15 => new SnowflakeFault { Polls = 2 },
                    _ => null,
                };
            }
        };
        return new SnowflakeTarget(server);
    }

    public Task<Destination> MakeAsync(string name, string root) => Task.FromResult(server.Configured() with { Name = name });

    public async Task FetchAsync(string name, string root)
    {
        var left = await server.StagedAsync();
        if (left.Count > 0)
        {
            throw new InvalidDataException($"Staged files are left: {string.Join(", ", left)}");
        }

        var rows = await server.ListAsync(
            $"SELECT concat('{{\"id\":', \"ID\", ',\"text\":\"', \"TEXT\", '\"}}') FROM \"{SnowflakeTables.Database}\".\"{SnowflakeTables.Schema}\".\"{name.ToUpperInvariant()}\"");
        await File.WriteAllLinesAsync(Path.Combine(root, "rows.jsonl"), rows.Select(row => row!));
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();
}

using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Sources;

/// <summary>
/// Whether a host has the newest rows. Of a replica that is behind, an export would be complete by every count, since plan and slices see
/// the same rows: so it is asked first, and another host is taken. What it said is believed for a moment.
/// </summary>
internal sealed class ReplicaDelay(TimeSpan most, TimeProvider time, ILogger log)
{
    // ClickHouse's own code for it.
    private const int Stale = 369;
    private const int Denied = 497;
    private static readonly TimeSpan Believed = TimeSpan.FromSeconds(10);
    private readonly ConcurrentDictionary<(SourceHost Host, string Table), DateTimeOffset> _believedUntil = [];
    private readonly ConcurrentDictionary<SourceHost, bool> _denied = [];

    /// <summary>The limit of a source: as it was set, else five minutes where there is another host to ask; zero: none.</summary>
    public static TimeSpan MostOf(ClickHouseOptions options, int hosts) =>
        options.MaxReplicaDelay ?? (hosts > 1 ? TimeSpan.FromMinutes(5) : TimeSpan.Zero);

    /// <summary>Throws when the host is too far behind for a query.</summary>
    /// <param name="host">The host.</param>
    /// <param name="table">The query's table; of one that is not replicated itself, as a view or a Distributed table, all replicated
    /// tables of the host count. Null: no rows are asked for.</param>
    /// <param name="ask">Asks the host.</param>
    /// <exception cref="SourceException">It is: as ClickHouse itself says it of a Distributed table.</exception>
    public async Task CheckAsync(SourceHost host, string? table, Func<SourceQuery, Task<List<string[]>>> ask)
    {
        if (most == TimeSpan.Zero || table is null || _believedUntil.GetValueOrDefault((host, table)) > time.GetUtcNow())
        {
            return;
        }

        List<string[]> behind;
        try
        {
            behind = await ask(Query(table)).ConfigureAwait(false);
        }
        catch (SourceException error) when (error.Code == Denied)
        {
            if (_denied.TryAdd(host, true))
            {
                SourceLog.DelayNotKnown(log, host.Name, error.Text);
            }

            behind = [];
        }

        if (behind is [var worst, ..])
        {
            throw new SourceException(
                Stale,
                $"{host.Name} is {TimeSpan.FromSeconds(long.Parse(worst[1], CultureInfo.InvariantCulture)):c} behind with {worst[0]}, more than clickhouse_max_replica_delay ({most:c}).");
        }

        _believedUntil[(host, table)] = time.GetUtcNow() + Believed;
    }

    private SourceQuery Query(string table) => new(
        """
        WITH if(position({table:String}, '.') > 0, {table:String}, concat(currentDatabase(), '.', {table:String})) AS wanted
        SELECT concat(database, '.', table), toInt64(absolute_delay)
        FROM system.replicas
        WHERE absolute_delay > {most:UInt64}
          AND (concat(database, '.', table) = wanted OR wanted NOT IN (SELECT concat(database, '.', table) FROM system.replicas))
        ORDER BY absolute_delay DESC
        LIMIT 1
        """,
        new Dictionary<string, string>
        {
            ["table"] = SourceQuery.Text(table), ["most"] = ((long)most.TotalSeconds).ToString(CultureInfo.InvariantCulture),
        });
}

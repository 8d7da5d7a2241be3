using Dapper;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>All rows of the engine, to see whether a call has changed any.</summary>
internal static class StoredRows
{
    private static readonly string[] Tables =
    [
        "engine.run", "engine.live_run", "engine.outcome", "engine.step_record", "engine.open_step", "engine.attempt_record", "engine.signal",
        "engine.run_status", "engine.relay", "engine.worker", "engine.schedule", "engine.occurrence", "mine",
    ];

    public static async Task<string> ReadAsync(NpgsqlDataSource data)
    {
        await using var connection = await data.OpenConnectionAsync();
        return await ReadAsync(connection);
    }

    /// <summary>As a transaction that is under way on the connection sees them.</summary>
    public static async Task<string> ReadAsync(NpgsqlConnection connection)
    {
        var rows = string.Join(" || ", Tables.Select(table => $"(select coalesce(string_agg(t::text, ';' order by t::text), '') from {table} t)"));
        return (await connection.ExecuteScalarAsync<string>("select " + rows))!;
    }

    /// <summary>Waits until a call waits for a lock, or has ended without.</summary>
    public static async Task MetAsync(NpgsqlDataSource data, Task call)
    {
        await using var connection = await data.OpenConnectionAsync();
        while (!call.IsCompleted
            && await connection.ExecuteScalarAsync<long>("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 0)
        {
            await Task.Delay(5);
        }
    }
}

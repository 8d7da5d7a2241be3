using Exporter.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Client;

/// <summary>Sets the limits of queues and of concurrency keys. Claims that begin after a call has returned keep to them.</summary>
/// <param name="data">The engine's database.</param>
public sealed class QueueClient(NpgsqlDataSource data)
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(QueueClient).Assembly, "sql/queues.sql");

    /// <summary>Sets the limits of a queue, or of one key in it; limits that are all null are removed.</summary>
    /// <param name="queue">The queue; from 1 to 100 characters. No worker need serve it yet.</param>
    /// <param name="limits">What holds from now on. What executes already goes on.</param>
    /// <param name="concurrencyKey">Only for runs with this key, from 1 to 200 characters. Default null, the whole queue.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="ArgumentException">A value is out of range.</exception>
    public async Task SetLimitsAsync(string queue, QueueLimits limits, string? concurrencyKey = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(limits);
        limits.Validate();
        Check(queue, concurrencyKey);
        var change = limits == new QueueLimits()
            ? new NpgsqlBatchCommand(Sql["ClearLimit"]) { Parameters = { Text(queue), Text(concurrencyKey ?? "") } }
            : new NpgsqlBatchCommand(Sql["SetLimit"])
            {
                Parameters =
                {
                    Text(queue),
                    Text(concurrencyKey ?? ""),
                    Number(limits.MaxRunning),
                    Number(limits.Rate?.Count),
                    new() { Value = (object?)limits.Rate?.Period ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Interval },
                    Number(limits.Rate?.Burst),
                },
            };

        // One batch is one transaction.
        var batch = data.CreateBatch();
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["LockQueue"]) { Parameters = { Text(queue) } });
        batch.BatchCommands.Add(change);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["TellQueue"]) { Parameters = { Text(queue) } });
        await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The limits of a queue, or of one key in it; null when it has none.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="concurrencyKey">A key. Default null, the whole queue.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public async Task<QueueLimits?> GetAsync(string queue, string? concurrencyKey = null, CancellationToken cancellationToken = default)
    {
        Check(queue, concurrencyKey);
        var command = data.CreateCommand(Sql["GetLimit"]);
        await using var disposing = command.ConfigureAwait(false);
        command.Parameters.Add(Text(queue));
        command.Parameters.Add(Text(concurrencyKey ?? ""));
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return !await reader.ReadAsync(cancellationToken).ConfigureAwait(false) ? null : new QueueLimits
        {
            MaxRunning = reader.IsDBNull(0) ? null : reader.GetInt32(0),
            Rate = reader.IsDBNull(1) ? null : new StartRate
            {
                Count = reader.GetInt32(1), Period = reader.GetFieldValue<TimeSpan>(2), Burst = reader.GetInt32(3),
            },
        };
    }

    private static void Check(string queue, string? key)
    {
        ArgumentNullException.ThrowIfNull(queue);
        _ = new StartOptions { Queue = queue, ConcurrencyKey = key }.Validate();
    }

    private static NpgsqlParameter Text(string value) => new() { Value = value, NpgsqlDbType = NpgsqlDbType.Text };

    private static NpgsqlParameter Number(int? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer };
}

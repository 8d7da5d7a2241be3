using System.Diagnostics;
using Dapper;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>
/// The limits: the same rows in the engine's own tables, written by hand in batches of a thousand, with none of what makes an
/// engine of it: no fence, no payload codec, no code to be called. Two sessions at once, as many as there are cores.
/// </summary>
internal sealed class BareSql(NpgsqlDataSource data)
{
    private const int Batch = 1000;
    private const int Sessions = 2;
    private static readonly byte[] Payload = [0, (byte)'1'];
    private readonly Guid _worker = Guid.CreateVersion7();

    /// <summary>Runs by COPY into the two tables, in one transaction; runs a second.</summary>
    public async Task<double> StartAsync(string workflow, int runs)
    {
        var ids = Enumerable.Range(0, runs).Select(_ => Guid.CreateVersion7()).ToArray();
        var clock = Stopwatch.StartNew();
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var copy = await connection.BeginBinaryImportAsync("copy engine.run (run_id, workflow, queue, priority, input) from stdin (format binary)"))
        {
            foreach (var id in ids)
            {
                await copy.StartRowAsync();
                await copy.WriteAsync(id, NpgsqlDbType.Uuid);
                await copy.WriteAsync(workflow, NpgsqlDbType.Text);
                await copy.WriteAsync(BenchWorker.Queue, NpgsqlDbType.Text);
                await copy.WriteAsync((short)0, NpgsqlDbType.Smallint);
                await copy.WriteAsync(Payload, NpgsqlDbType.Bytea);
            }

            await copy.CompleteAsync();
        }

        var now = await connection.ExecuteScalarAsync<DateTime>("select engine.clock()");
        await using (var copy = await connection.BeginBinaryImportAsync(
            "copy engine.live_run (run_id, workflow, queue, priority, state, due_at) from stdin (format binary)"))
        {
            foreach (var id in ids)
            {
                await copy.StartRowAsync();
                await copy.WriteAsync(id, NpgsqlDbType.Uuid);
                await copy.WriteAsync(workflow, NpgsqlDbType.Text);
                await copy.WriteAsync(BenchWorker.Queue, NpgsqlDbType.Text);
                await copy.WriteAsync((short)0, NpgsqlDbType.Smallint);
                await copy.WriteAsync("queued", "engine.run_state");
                await copy.WriteAsync(now, NpgsqlDbType.TimestampTz);
            }

            await copy.CompleteAsync();
        }

        await transaction.CommitAsync();
        return runs / clock.Elapsed.TotalSeconds;
    }

    /// <summary>Takes what waits, does so many steps of each, and makes it final; seconds.</summary>
    public async Task<double> DrainAsync(int steps)
    {
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, Sessions).Select(async _ =>
        {
            await using var connection = await data.OpenConnectionAsync();
            await connection.ExecuteAsync("set enable_seqscan = off; set enable_bitmapscan = off; set jit = off");
            await using var claim = Command(connection, """
                with picked as materialized (
                  select run_id from engine.live_run where state = 'queued' and queue = $2 and concurrency_key is null and due_at <= engine.clock()
                  order by priority, due_at limit $3 for update skip locked
                ), claimed as (
                update engine.live_run l set state = 'running', worker_id = $1, epoch = epoch + 1, claimed_at = engine.clock(), started_at = engine.clock()
                where l.run_id = any(array(select run_id from picked)) returning l.run_id
                )
                select run_id, input from claimed join engine.run using (run_id) where run_id = any(array(select run_id from picked))
                """);
            claim.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = _worker });
            claim.Parameters.Add(new NpgsqlParameter<string> { TypedValue = BenchWorker.Queue });
            claim.Parameters.Add(new NpgsqlParameter<int> { TypedValue = Batch });
            await using var record = Command(connection, """
                insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, output, started_at)
                select run_id, $3, 'add', 1, $2, 1, output, engine.clock() from unnest($1::uuid[], $4::bytea[]) r(run_id, output)
                """);
            record.Parameters.Add(new NpgsqlParameter<Guid[]>());
            record.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = _worker });
            record.Parameters.Add(new NpgsqlParameter<int>());
            record.Parameters.Add(new NpgsqlParameter<byte[][]>());
            await using var finish = Command(connection, """
                with done as (delete from engine.live_run where run_id = any($1) returning run_id, epoch, started_at)
                insert into engine.outcome (run_id, epoch, worker_id, state, output, started_at)
                select run_id, epoch, $2, 'completed', output, started_at from done join unnest($1, $3::bytea[]) w(run_id, output) using (run_id)
                """);
            finish.Parameters.Add(new NpgsqlParameter<Guid[]>());
            finish.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = _worker });
            finish.Parameters.Add(new NpgsqlParameter<byte[][]>());
            while (await ClaimAsync(claim) is { Length: > 0 } ids)
            {
                var outputs = Array.ConvertAll(ids, _ => Payload);
                record.Parameters[3].Value = finish.Parameters[2].Value = outputs;
                for (var step = 0; step < steps; step++)
                {
                    record.Parameters[0].Value = ids;
                    record.Parameters[2].Value = step;
                    await record.ExecuteNonQueryAsync();
                }

                finish.Parameters[0].Value = ids;
                await finish.ExecuteNonQueryAsync();
            }
        }));
        return clock.Elapsed.TotalSeconds;
    }

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql) => new(sql, connection);

    private static async Task<Guid[]> ClaimAsync(NpgsqlCommand claim)
    {
        var ids = new List<Guid>(Batch);
        await using var reader = await claim.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            ids.Add(reader.GetGuid(0));
        }

        return [.. ids];
    }
}

using System.Globalization;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Testing;

/// <summary>
/// Moves the clock of a database and that of this process as one, from one due time to the next, and lets the workers do
/// what has fallen due before it goes on.
/// </summary>
internal sealed class TestTime(
    NpgsqlDataSource data, TestClock clock, IReadOnlyList<Worker> workers, ScheduleFirer firer, TimeSpan patience, TimeSpan lease)
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(TestTime).Assembly, "sql/testing.sql");
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    // A wait for ever is no time to move to.
    private static readonly TimeSpan Forever = TimeSpan.FromDays(36_000);

    /// <summary>How far off the next due time was when last looked at; null when nothing was to fall due by itself.</summary>
    public TimeSpan? Next { get; private set; }

    /// <summary>Ends when nothing can go on but by the clock, or when nothing has changed for as long as patience lasts.</summary>
    /// <returns>All that was seen then.</returns>
    public async Task<string> SettleAsync(CancellationToken cancellationToken)
    {
        Sight? before = null;
        var since = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var now = await LookAsync(cancellationToken).ConfigureAwait(false);
            if (now.What != before?.What)
            {
                since = TimeProvider.System.GetTimestamp();
            }
            else if (now.IsQuiet || TimeProvider.System.GetElapsedTime(since) >= patience)
            {
                return now.What;
            }

            before = now;
            if (now.SchedulesDue)
            {
                while (await firer.FireAsync(cancellationToken).ConfigureAwait(false))
                {
                }
            }

            if (!now.IsQuiet)
            {
                LookNow();
            }

            await Task.Delay(Pause, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Lets settle, and then moves to the next due time, but at most so far.</summary>
    /// <returns>How far; null when nothing falls due by itself within that time, and the clock has not moved.</returns>
    public async Task<TimeSpan?> HopAsync(TimeSpan most, CancellationToken cancellationToken)
    {
        while (true)
        {
            var settled = await SettleAsync(cancellationToken).ConfigureAwait(false);
            var by = TimeSpan.Zero;
            clock.Hold();
            try
            {
                var now = await LookAsync(cancellationToken).ConfigureAwait(false);
                if (now.What != settled)
                {
                    continue;
                }

                Next = now.Next;
                if (now.Next is not { } next || next > most)
                {
                    return null;
                }

                await MoveAsync(next, cancellationToken).ConfigureAwait(false);
                by = next;
                return by;
            }
            finally
            {
                clock.MoveAndRelease(by);
                LookNow();
            }
        }
    }

    /// <summary>Moves by just so much, whatever falls due on the way.</summary>
    public async Task JumpAsync(TimeSpan by, CancellationToken cancellationToken)
    {
        var moved = TimeSpan.Zero;
        clock.Hold();
        try
        {
            await MoveAsync(by, cancellationToken).ConfigureAwait(false);
            moved = by;
        }
        finally
        {
            clock.MoveAndRelease(moved);
            LookNow();
        }
    }

    private static NpgsqlParameter Of(TimeSpan value) => new() { Value = value, NpgsqlDbType = NpgsqlDbType.Interval };

    private void LookNow()
    {
        foreach (var worker in workers)
        {
            worker.Session?.LookNow();
        }
    }

    // The function's text carries the distance, so that it can be inlined and use indexes as the real one does.
    private async Task MoveAsync(TimeSpan by, CancellationToken cancellationToken)
    {
        var ahead = (long)Math.Ceiling((clock.Ahead + by).TotalMicroseconds);
        var batch = data.CreateBatch();
        await using (batch.ConfigureAwait(false))
        {
            batch.BatchCommands.Add(new NpgsqlBatchCommand(string.Create(
                CultureInfo.InvariantCulture,
                $"create or replace function engine.clock() returns timestamptz language sql stable parallel safe as 'select statement_timestamp() + interval ''{ahead} microseconds'''")));
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["MoveLeases"]) { Parameters = { Of(by) } });
            await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        var renew = data.CreateCommand(Sql["RenewLeases"]);
        await using (renew.ConfigureAwait(false))
        {
            renew.Parameters.Add(Of(lease));
            await renew.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<Sight> LookAsync(CancellationToken cancellationToken)
    {
        TimeSpan? next = null;
        var batch = data.CreateBatch();
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["LookAtTime"]));
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["LookAtRunning"]));
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        if (!await reader.IsDBNullAsync(1, cancellationToken).ConfigureAwait(false))
        {
            next = reader.GetFieldValue<DateTimeOffset>(1) - reader.GetFieldValue<DateTimeOffset>(0);
        }

        var (due, schedules) = (reader.GetInt64(2), reader.GetInt64(3));
        var quiet = due == 0 && schedules == 0;
        var what = new List<string> { $"{due} due, {schedules} schedules" };
        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        var held = workers.SelectMany(worker => worker.Session?.Held ?? []).ToDictionary(run => (run.RunId, run.Epoch));
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            var id = (reader.GetGuid(0), reader.GetInt64(1));
            if (!held.Remove(id, out var run))
            {
                // Just claimed, or just left.
                quiet = false;
                what.Add($"{id} is not here");
                continue;
            }

            var (onlyWaits, changes, left) = run.Activity.Look();
            var heard = !(run.Events.Seen < reader.GetInt64(2)) && reader.GetBoolean(3) == run.IsCancelled && !reader.GetBoolean(4);
            quiet &= onlyWaits && heard && !(left <= TimeSpan.Zero);
            next = onlyWaits && left < Forever && !(next <= left) ? left : next;
            what.Add($"{id} {changes} {onlyWaits} {heard}");
        }

        return new Sight(quiet && held.Count == 0, schedules > 0, next, $"{string.Join("; ", what)}; {held.Count} left");
    }

    /// <param name="IsQuiet">Whether nothing can go on but by the clock.</param>
    /// <param name="SchedulesDue">Whether a schedule is to be fired.</param>
    /// <param name="Next">How far off the next due time is.</param>
    /// <param name="What">All of it, to be compared.</param>
    private sealed record Sight(bool IsQuiet, bool SchedulesDue, TimeSpan? Next, string What);
}

using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Storage;

/// <summary>Commits the writes of many runs in one transaction and one round trip. The statements tell the rules.</summary>
/// <param name="data">For the engine's own statements.</param>
/// <param name="workerId">The worker whose writes these are.</param>
/// <param name="callers">For transactions that the application's code has a part in. Default the same.</param>
internal sealed class WriteStore(NpgsqlDataSource data, Guid workerId, NpgsqlDataSource? callers = null)
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(WriteStore).Assembly, "sql/writes.sql");

    // What leaves the run's own row alone, as records do.
    private static readonly WriteKind[] BesideRecords = [WriteKind.FailedAttempt, WriteKind.OpenStep, WriteKind.Status];

    /// <summary>Commits; answers the runs, with their epochs, whose writes were accepted.</summary>
    /// <param name="writes">At most one status a run, and one of each open step.</param>
    /// <param name="again">Whether some of it may have been committed before; then that changes nothing.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="PostgresException">A step is recorded already (23505), and <paramref name="again"/> was not said.</exception>
    public async Task<HashSet<(Guid RunId, long Epoch)>> CommitAsync(IReadOnlyList<Write> writes, bool again, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var batch = new NpgsqlBatch(connection);
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(PlanForMany());
        var byKind = ByKind(writes);
        var records = byKind[(int)WriteKind.Record];
        // Only records, and none that may be there already.
        var recording = !again && records.Length > 0 && Array.TrueForAll(BesideRecords, kind => byKind[(int)kind].Length == 0)
            ? Records("RecordHeld", records)
            : null;
        if (recording is not null)
        {
            batch.BatchCommands.Add(recording);
        }
        else if (ToLock(byKind) is { Length: > 0 } locked)
        {
            batch.BatchCommands.Add(Lock(locked));
        }

        for (var kind = WriteKind.Record; kind <= WriteKind.Log; kind++)
        {
            if (byKind[(int)kind] is { Length: > 0 } of)
            {
                Add(batch, kind, of, isRecorded: recording is not null);
            }
        }

        var accepted = new HashSet<(Guid, long)>(writes.Count);
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using (reader.ConfigureAwait(false))
        {
            // After what PlanForMany answers.
            while (await reader.NextResultAsync(cancellationToken).ConfigureAwait(false))
            {
                await ReadAcceptedAsync(reader, byKind[(int)WriteKind.Finish], accepted, cancellationToken).ConfigureAwait(false);
            }
        }

        if (recording is not null && (int)recording.RecordsAffected == records.Length)
        {
            Accept(records, accepted);
        }
        else if (recording is not null)
        {
            // Some were refused. Which, is told by what is held now: a run lost meanwhile is lost to this worker in any case.
            var held = new NpgsqlBatch(connection) { BatchCommands = { Lock(ToLock(byKind)) } };
            await using var disposingHeld = held.ConfigureAwait(false);
            var heldReader = await held.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closingReader = heldReader.ConfigureAwait(false);
            await ReadAcceptedAsync(heldReader, [], accepted, cancellationToken).ConfigureAwait(false);
        }

        return accepted;
    }

    /// <summary>
    /// A write together with the caller's own rows. The run's row is locked first, so a takeover waits for the commit; the
    /// server ends the session if this process is frozen meanwhile.
    /// </summary>
    /// <returns>False when the run is no longer held; then nothing was written. Nothing is written, either, when the body has no write.</returns>
    /// <exception cref="AlreadyRecordedException">The step is recorded; nothing was written.</exception>
    public async Task<bool> CommitWithAsync(
        Guid runId,
        long epoch,
        TimeSpan idleLimit,
        Func<NpgsqlTransaction, CancellationToken, Task<Write?>> body,
        CancellationToken cancellationToken)
    {
        var connection = await (callers ?? data).OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        var limit = new NpgsqlCommand("select set_config('idle_in_transaction_session_timeout', $1, true)", connection, transaction);
        await using (limit.ConfigureAwait(false))
        {
            limit.Parameters.Add(new NpgsqlParameter<string> { TypedValue = ((long)idleLimit.TotalMilliseconds).ToString(System.Globalization.CultureInfo.InvariantCulture) });
            await limit.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        var batch = new NpgsqlBatch(connection, transaction);
        await using (batch.ConfigureAwait(false))
        {
            batch.BatchCommands.Add(Lock([(runId, epoch)]));
            if (await batch.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is null)
            {
                return false;
            }
        }

        if (await body(transaction, cancellationToken).ConfigureAwait(false) is not { } write)
        {
            return true;
        }

        var last = new NpgsqlBatch(connection, transaction);
        await using (last.ConfigureAwait(false))
        {
            Add(last, write.Kind, [write], isRecorded: false);
            if (await last.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is null)
            {
                // The rows of the body must not be committed without the write: an earlier attempt's commit, thought to have
                // failed, came between, or this worker has left the run meanwhile.
                return write.Kind == WriteKind.Record && await IsRecordedAsync(transaction, runId, write.Place, cancellationToken).ConfigureAwait(false)
                    ? throw new AlreadyRecordedException(runId, write.Place)
                    : false;
            }
        }

        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>The output of a step whose commit was in doubt; null when it is not recorded.</summary>
    public async Task<byte[]?> FindRecordAsync(Guid runId, int place, CancellationToken cancellationToken)
    {
        var command = data.CreateCommand(Sql["FindRecord"]);
        await using var disposing = command.ConfigureAwait(false);
        command.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = runId });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = place });
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) as byte[];
    }

    private static async Task<bool> IsRecordedAsync(NpgsqlTransaction transaction, Guid runId, int place, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["FindRecord"], transaction.Connection, transaction)
        {
            Parameters = { new NpgsqlParameter<Guid> { TypedValue = runId }, new NpgsqlParameter<int> { TypedValue = place } },
        };
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is byte[];
    }

    /// <summary>The first statement of a batch about many runs; answers one row.</summary>
    public static NpgsqlBatchCommand PlanForMany() => new(Sql["PlanForMany"]);

    private static Write[][] ByKind(IReadOnlyList<Write> writes)
    {
        var counts = new int[(int)WriteKind.Log + 1];
        foreach (var write in writes)
        {
            counts[(int)write.Kind]++;
        }

        var byKind = Array.ConvertAll(counts, count => count == 0 ? [] : new Write[count]);
        Array.Clear(counts);
        foreach (var write in writes)
        {
            byKind[(int)write.Kind][counts[(int)write.Kind]++] = write;
        }

        return byKind;
    }

    private static async Task ReadAcceptedAsync(NpgsqlDataReader reader, Write[] finished, HashSet<(Guid, long)> accepted, CancellationToken cancellationToken)
    {
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            if (reader.IsDBNull(0))
            {
                Accept(finished, accepted);
            }
            else
            {
                accepted.Add((reader.GetGuid(0), reader.GetInt64(1)));
            }
        }
    }

    private static void Accept(Write[] writes, HashSet<(Guid, long)> accepted)
    {
        foreach (var write in writes)
        {
            accepted.Add((write.RunId, write.Epoch));
        }
    }

    // The runs whose row is not held by the writes themselves.
    private static (Guid RunId, long Epoch)[] ToLock(Write[][] byKind)
    {
        var runs = new HashSet<(Guid, long)>();
        foreach (var kind in (ReadOnlySpan<WriteKind>)[WriteKind.Record, .. BesideRecords])
        {
            foreach (var write in byKind[(int)kind])
            {
                runs.Add((write.RunId, write.Epoch));
            }
        }

        return [.. runs];
    }

    // With isRecorded, RecordHeld has recorded the steps.
    private void Add(NpgsqlBatch batch, WriteKind kind, Write[] writes, bool isRecorded)
    {
        switch (kind)
        {
            case WriteKind.Record:
                if (!isRecorded)
                {
                    batch.BatchCommands.Add(Records("RecordSteps", writes));
                }

                if (Array.FindAll(writes, write => write.ClosesOpen) is { Length: > 0 } closing)
                {
                    batch.BatchCommands.Add(Fenced("CloseSteps", closing, Places(closing)));
                }

                break;
            case WriteKind.FailedAttempt:
                batch.BatchCommands.Add(Fenced(
                    "FailAttempts", writes, Places(writes), Attempts(writes), Names(writes), Errors(writes), Waits(writes), Tooks(writes)));
                break;
            case WriteKind.OpenStep:
                batch.BatchCommands.Add(Fenced(
                    "OpenSteps", writes, Places(writes), Names(writes), Attempts(writes), Payloads(writes), Tooks(writes), Waits(writes)));
                break;
            case WriteKind.Finish:
                batch.BatchCommands.Add(Fenced("FinishRuns", writes, Texts(writes, write => write.State), Payloads(writes), Errors(writes)));
                if (Array.FindAll(writes, write => write.ClosesOpen) is { Length: > 0 } open)
                {
                    batch.BatchCommands.Add(Fenced("DropOpenSteps", open));
                }

                break;
            case WriteKind.Leave:
                batch.BatchCommands.Add(Fenced("LeaveRuns", writes, Waits(writes), Seen(writes)));
                break;
            case WriteKind.Retry:
                batch.BatchCommands.Add(Fenced("RetryRuns", writes, Waits(writes)));
                break;
            case WriteKind.Continue:
                batch.BatchCommands.Add(Fenced("ContinueRuns", writes, Payloads(writes)));
                break;
            case WriteKind.Status:
                batch.BatchCommands.Add(Fenced("SetStatuses", writes, Texts(writes, write => write.State)));
                break;
            case WriteKind.Log:
                batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["WriteLog"])
                {
                    Parameters =
                    {
                        Of(Array.ConvertAll(writes, write => write.RunId)), Texts(writes, write => write.State), Names(writes), Errors(writes), Waits(writes),
                    },
                });
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(kind), kind, "No such kind of write.");
        }
    }

    private NpgsqlBatchCommand Lock((Guid RunId, long Epoch)[] held) => new(Sql["LockHeld"])
    {
        Parameters =
        {
            Of(Array.ConvertAll(held, run => run.RunId)),
            Of(Array.ConvertAll(held, run => run.Epoch)),
            new NpgsqlParameter<Guid> { TypedValue = workerId },
        },
    };

    private NpgsqlBatchCommand Records(string name, Write[] writes) => Fenced(
        name, writes, Places(writes), Names(writes), Attempts(writes), Payloads(writes), Errors(writes), Waits(writes), Tooks(writes));

    private NpgsqlBatchCommand Fenced(string name, Write[] writes, params ReadOnlySpan<NpgsqlParameter> more)
    {
        var command = new NpgsqlBatchCommand(Sql[name])
        {
            Parameters =
            {
                Of(Array.ConvertAll(writes, write => write.RunId)),
                Of(Array.ConvertAll(writes, write => write.Epoch)),
                new NpgsqlParameter<Guid> { TypedValue = workerId },
            },
        };
        foreach (var parameter in more)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private static NpgsqlParameter Places(Write[] writes) => Of(Array.ConvertAll(writes, write => write.Place));

    private static NpgsqlParameter Attempts(Write[] writes) => Of(Array.ConvertAll(writes, write => write.Attempt));

    private static NpgsqlParameter Names(Write[] writes) => Texts(writes, write => write.Name);

    private static NpgsqlParameter Errors(Write[] writes) => Texts(writes, write => write.Error);

    private static NpgsqlParameter Payloads(Write[] writes) => Column(writes, write => write.Payload, NpgsqlDbType.Bytea);

    private static NpgsqlParameter Seen(Write[] writes) => Column(writes, write => write.SeenEvents, NpgsqlDbType.Bigint);

    private static NpgsqlParameter Waits(Write[] writes) => Column(writes, write => write.Wait, NpgsqlDbType.Interval);

    private static NpgsqlParameter Tooks(Write[] writes) => new()
    {
        Value = Array.ConvertAll(writes, write => write.Took), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Interval,
    };

    private static NpgsqlParameter Texts(Write[] writes, Converter<Write, string?> of) => Column(writes, of, NpgsqlDbType.Text);

    // One that has no value at all is sent empty: unnest fills up with nulls.
    private static NpgsqlParameter Column<T>(Write[] writes, Converter<Write, T> of, NpgsqlDbType type) => new()
    {
        Value = Array.TrueForAll(writes, write => of(write) is null) ? Array.Empty<T>() : Array.ConvertAll(writes, of),
        NpgsqlDbType = NpgsqlDbType.Array | type,
    };

    private static NpgsqlParameter<T[]> Of<T>(T[] values) => new() { TypedValue = values };
}

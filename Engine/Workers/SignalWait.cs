using System.Text.Json;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Workers;

/// <summary>A run's wait for a signal: taking it and recording it is one transaction, under the run's epoch.</summary>
internal sealed class SignalWait(RunExecution run, WorkerServices services)
{
    public async Task<Signal<T>?> TakeAsync<T>(
        string name, int place, byte[]? recorded, Func<Task<TimeSpan>>? deadline, CancellationToken stop)
    {
        if (recorded is null)
        {
            stop.ThrowIfCancellationRequested();
            TimeSpan? longest = deadline is null ? null : await deadline().ConfigureAwait(false);
            recorded = await run.Events.UntilAsync(() => TakeAsync<T>(name, place, stop), longest, stop).ConfigureAwait(false)
                ?? await NoneAsync<T>(name, place).ConfigureAwait(false);
        }

        return services.Codec.Read<Signal<T>?>(recorded, Places.Step(run.RunId, place));
    }

    private async Task<byte[]?> TakeAsync<T>(string name, int place, CancellationToken stop)
    {
        if (!await services.Events.HasSignalAsync(run.RunId, name, stop).ConfigureAwait(false))
        {
            // A take whose answer was lost has left a record.
            return await services.Writes.FindRecordAsync(run.RunId, place, stop).ConfigureAwait(false);
        }

        try
        {
            return await TakeAndRecordAsync<T>(name, place, stop).ConfigureAwait(false);
        }
        catch (AlreadyRecordedException)
        {
            // The same, and another signal has come since: that one is for the next wait.
            return await services.Writes.FindRecordAsync(run.RunId, place, stop).ConfigureAwait(false);
        }
    }

    private async Task<byte[]?> TakeAndRecordAsync<T>(string name, int place, CancellationToken stop)
    {
        byte[]? output = null;
        var held = await services.Writes.CommitWithAsync(
            run.RunId,
            run.Epoch,
            services.Options.LeasePeriod,
            async (transaction, token) =>
            {
                if (await EventStore.TakeSignalAsync(transaction, run.RunId, name, place, token).ConfigureAwait(false) is not { } taken)
                {
                    return null;
                }

                output = services.Codec.Write(new Signal<T>(Read<T>(name, taken.Payload), taken.SentAt), Places.Step(run.RunId, place));
                return new Write(WriteKind.Record, run.RunId, run.Epoch) { Place = place, Name = "signal " + name, Payload = output };
            },
            stop).ConfigureAwait(false);
        if (!held)
        {
            services.Writer.CountRefused(1);
            throw new LeaseLostException($"Run {run.RunId} is no longer held under epoch {run.Epoch}; signal \"{name}\" was not taken.");
        }

        return output;
    }

    private T Read<T>(string name, byte[] payload)
    {
        try
        {
            return services.Codec.Read<T>(payload, Places.Signal(run.RunId, name));
        }
        catch (JsonException exception)
        {
            throw new NonRetryableException($"Signal \"{name}\" does not carry a {typeof(T).Name}: {exception.Message}", exception);
        }
    }

    private async Task<byte[]> NoneAsync<T>(string name, int place)
    {
        var none = services.Codec.Write<Signal<T>?>(null, Places.Step(run.RunId, place));
        await services.Writer.WriteAsync(new Write(WriteKind.Record, run.RunId, run.Epoch) { Place = place, Name = "signal " + name, Payload = none })
            .ConfigureAwait(false);
        return none;
    }
}

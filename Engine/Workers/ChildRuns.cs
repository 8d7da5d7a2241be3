using System.Text.Json;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Workers;

/// <summary>The children of a run: a child's start and the record of it are one transaction, under the parent's epoch.</summary>
internal sealed class ChildRuns(RunExecution run, WorkerServices services)
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    public async Task<Guid> StartAsync<TInput>(
        string workflow, TInput input, ChildOptions options, string step, int place, byte[]? recorded, CancellationToken stop)
    {
        var start = new StartOptions
        {
            Queue = options.Queue ?? run.Claimed.Queue, Priority = options.Priority, ExecutionTimeout = options.ExecutionTimeout,
            Retry = options.Retry, Tags = options.Tags, ConcurrencyKey = options.ConcurrencyKey, ConcurrencyLimit = options.ConcurrencyLimit,
        }.Validate();
        while (recorded is null)
        {
            stop.ThrowIfCancellationRequested();
            recorded = run.IsStopping || !run.Activity.TryBegin()
                ? await run.Activity.HoldAsync<byte[]>().ConfigureAwait(false)
                : await StartAsync(workflow, input, start, options.OnParentClose, step, place, stop).ConfigureAwait(false);
        }

        return services.Codec.Read<Guid>(recorded, Places.Step(run.RunId, place));
    }

    public async Task<TOutput> ResultAsync<TOutput>(Guid child, string step, int place, byte[]? recorded, CancellationToken stop)
    {
        if (recorded is null)
        {
            stop.ThrowIfCancellationRequested();
            recorded = (await run.Events.UntilAsync(() => OutcomeAsync(child, place, stop), null, stop).ConfigureAwait(false))!;
            await services.Writer.WriteAsync(new Write(WriteKind.Record, run.RunId, run.Epoch) { Place = place, Name = step, Payload = recorded })
                .ConfigureAwait(false);
        }

        var outcome = services.Codec.Read<ChildOutcome>(recorded, Places.Step(run.RunId, place));
        return outcome.State == RunState.Completed.ToText()
            ? outcome.Output!.Value.Deserialize<TOutput>(services.Codec.Json)!
            : throw new ChildFailedException(child, RunStateText.Parse(outcome.State), outcome.Error);
    }

    // Null after a failure that will pass.
    private async Task<byte[]?> StartAsync<TInput>(
        string workflow, TInput input, StartOptions options, ParentClosePolicy onClose, string step, int place, CancellationToken stop)
    {
        try
        {
            // A start whose answer was lost has left a record.
            if (await services.Writes.FindRecordAsync(run.RunId, place, stop).ConfigureAwait(false) is { } found)
            {
                return found;
            }

            byte[]? output = null;
            var held = await services.Writes.CommitWithAsync(
                run.RunId,
                run.Epoch,
                services.Options.LeasePeriod,
                async (transaction, token) =>
                {
                    var child = Guid.CreateVersion7();
                    await services.Client.StartAsync(
                        child, workflow, services.Codec.Write(input, Places.Input(child)), options, transaction, token, (run.RunId, onClose))
                        .ConfigureAwait(false);
                    await EventStore.MarkParentAsync(transaction, run.RunId, token).ConfigureAwait(false);
                    output = services.Codec.Write(child, Places.Step(run.RunId, place));
                    return new Write(WriteKind.Record, run.RunId, run.Epoch) { Place = place, Name = step, Payload = output };
                },
                stop).ConfigureAwait(false);
            if (held)
            {
                run.HasFamily = true;
                return output;
            }

            services.Writer.CountRefused(1);
            throw new LeaseLostException($"Run {run.RunId} is no longer held under epoch {run.Epoch}; no child was started.");
        }
        catch (AlreadyRecordedException)
        {
            return null;
        }
        catch (Exception error) when (error is not LeaseLostException && TransientErrors.Include(error))
        {
            await Task.Delay(Pause, services.Time, stop).ConfigureAwait(false);
            return null;
        }
        finally
        {
            run.Activity.Ended();
        }
    }

    private async Task<byte[]?> OutcomeAsync(Guid child, int place, CancellationToken stop)
    {
        if (await services.Client.OutcomeAsync(child, stop).ConfigureAwait(false) is not { } outcome)
        {
            return null;
        }

        var value = outcome.Output is null
            ? (JsonElement?)null
            : JsonSerializer.Deserialize<JsonElement>(services.Codec.Unprotect(outcome.Output, Places.Output(child)));
        return services.Codec.Write(new ChildOutcome(outcome.State.ToText(), outcome.Error, value), Places.Step(run.RunId, place));
    }

    private sealed record ChildOutcome(string State, string? Error, JsonElement? Output);
}

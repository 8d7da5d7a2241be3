using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Workers;

/// <summary>A step from its first attempt to its record: attempts, waits between them, and the end.</summary>
internal sealed class StepRunner(RunExecution run, WorkerServices services)
{
    /// <summary>Runs a step that is not recorded yet.</summary>
    /// <param name="place">The step's place.</param>
    /// <param name="name">The step's name.</param>
    /// <param name="body">One attempt; answers the output as stored, and null when it has recorded itself in a transaction.</param>
    /// <param name="options">Valid options.</param>
    /// <param name="stop">Fires when the step is to stop.</param>
    public async Task<byte[]> RunAsync(int place, string name, Func<StepAttempt, Task<StepResult>> body, StepOptions options, CancellationToken stop)
    {
        var begun = run.Claimed.Begun.GetValueOrDefault(place);
        var attempt = begun?.Attempt ?? 0;
        var counted = begun?.Counted ?? 0;
        var checkpoint = begun?.Checkpoint;
        var isOpen = begun is not null;
        var start = services.Time.GetTimestamp();
        var before = begun?.BegunAgo ?? TimeSpan.Zero;
        if (begun?.RetryIn is { } left && left > TimeSpan.Zero)
        {
            await run.Activity.WaitAsync(left, stop).ConfigureAwait(false);
        }

        while (true)
        {
            stop.ThrowIfCancellationRequested();
            if (run.IsStopping || !run.Activity.TryBegin())
            {
                return await run.Activity.HoldAsync<byte[]>().ConfigureAwait(false);
            }

            attempt++;
            counted++;
            using var context = new StepAttempt(run, services, place, name, attempt, checkpoint, options, stop);
            using var span = EngineTracing.Attempt(run.RunId, name, place, attempt);
            var (result, error) = await AttemptAsync(context, body).ConfigureAwait(false);
            EngineTracing.End(span, error is null ? null : ErrorText.Of(error));
            span?.Stop();
            checkpoint = context.StoredCheckpoint;
            isOpen |= context.IsOpen;
            services.Metrics.AttemptEnded(run.Claimed.Workflow, error is null ? "completed" : "failed", context.Took);
            if (error is null)
            {
                if (!result!.IsRecorded)
                {
                    await services.Writer.WriteAsync(new Write(WriteKind.Record, run.RunId, run.Epoch)
                    {
                        Place = place, Name = name, Attempt = attempt, Payload = result.Output, Took = context.Took, ClosesOpen = isOpen,
                    }).ConfigureAwait(false);
                }

                services.Signals.Raise(WorkerMoment.StepRecorded, run.RunId, name);
                return result.Output;
            }

            if (error is LeaseLostException)
            {
                throw error;
            }

            if (stop.IsCancellationRequested)
            {
                throw new OperationCanceledException($"Step \"{name}\" was stopped.", error, stop);
            }

            var text = ErrorText.Of(error);
            EngineLog.AttemptFailed(services.Logger, run.RunId, name, attempt, text);
            var wait = options.Retry.WaitAfter(counted, Random.Shared.NextDouble());
            if (error is RetryAfterException later && later.After > wait)
            {
                wait = later.After;
            }

            var retries = options.Retry.Retries(counted, error)
                && !(options.ScheduleToClose is { } longest && before + services.Time.GetElapsedTime(start) + wait >= longest);
            var failed = new Write(WriteKind.FailedAttempt, run.RunId, run.Epoch)
            {
                Place = place, Name = name, Attempt = attempt, Error = text, Took = context.Took, Wait = retries ? wait : null,
            };
            if (retries)
            {
                await services.Writer.WriteAsync(failed).ConfigureAwait(false);
                await run.Activity.WaitAsync(wait, stop).ConfigureAwait(false);
                continue;
            }

            services.Writer.Post(failed);
            await services.Writer.WriteAsync(new Write(WriteKind.Record, run.RunId, run.Epoch)
            {
                Place = place, Name = name, Attempt = attempt, Error = text, Took = context.Took, ClosesOpen = isOpen,
            }).ConfigureAwait(false);
            throw new StepFailedException(name, attempt, text, error);
        }
    }

    private async Task<(StepResult? Result, Exception? Error)> AttemptAsync(StepAttempt context, Func<StepAttempt, Task<StepResult>> body)
    {
        run.Began(context);
        try
        {
            services.Signals.Raise(WorkerMoment.AttemptStarted, run.RunId, context.Name);
            if (context.IsLong)
            {
                services.Writer.Post(context.OpenWrite(null));
            }

            if (await new StepCall(context, body, services.Options.CancelGrace, services.Time).EndAsync().ConfigureAwait(false) is not { } code)
            {
                EngineLog.AttemptIgnoresToken(services.Logger, run.RunId, context.Name, context.Attempt);
                return (null, context.Timeout ?? (Exception)new OperationCanceledException("The attempt did not end when it was told to."));
            }

            return (await code.ConfigureAwait(false), null);
        }
        catch (OperationCanceledException) when (context.Timeout is not null)
        {
            return (null, context.Timeout);
        }
        catch (Exception error)
        {
            return (null, error);
        }
        finally
        {
            context.End();
            run.Ended(context);
            run.Activity.Ended();
        }
    }
}

/// <summary>What an attempt left.</summary>
/// <param name="Output">The output, as stored.</param>
/// <param name="IsRecorded">Whether the attempt's own transaction has recorded it.</param>
internal sealed record StepResult(byte[] Output, bool IsRecorded);

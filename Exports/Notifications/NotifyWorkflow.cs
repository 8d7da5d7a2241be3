using Exporter.Engine.Workflows;
using Exporter.Exports.Pipeline;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Notifications;

/// <summary>One message to one target: tried, spaced out, for a day.</summary>
internal sealed class NotifyWorkflow(NotificationStore notifications, Notifier notifier) : IWorkflow<NotifyInput, NotifyOutput>
{
    /// <summary>The name of the workflow.</summary>
    public const string Name = "notify";

    private static readonly StepOptions Options = new()
    {
        StartToClose = TimeSpan.FromMinutes(5),
        ScheduleToClose = TimeSpan.FromDays(1),
        Retry = new RetryPolicy { InitialInterval = TimeSpan.FromSeconds(5), MaximumInterval = TimeSpan.FromMinutes(15) },
    };

    public async Task<NotifyOutput> RunAsync(IWorkflowContext run, NotifyInput input)
    {
        var sent = await run.StepAsync("send", step => SendAsync(step, input.NotificationId), Options).ConfigureAwait(false);
        if (sent)
        {
            await run.StepInTransactionAsync("record", async (step, transaction) =>
            {
                await notifications.MarkSentAsync(transaction, input.NotificationId, step.CancellationToken).ConfigureAwait(false);
                return true;
            }).ConfigureAwait(false);
        }

        return new NotifyOutput { Sent = sent };
    }

    private async Task<bool> SendAsync(IStepContext step, Guid id)
    {
        var found = await notifications.FindAsync(id, step.CancellationToken).ConfigureAwait(false);
        if (found is not ({ } target, { } message))
        {
            step.Log(LogLevel.Warning, "The target was deleted before it could be told.");
            return false;
        }

        try
        {
            await notifier.SendAsync(target, message, step.CancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception error) when (Notifier.Sort(error) is { } sorted)
        {
            throw ErrorClassifier.ForEngine(sorted, error) ?? error;
        }
    }
}

/// <summary>What a run of <see cref="NotifyWorkflow"/> is to send.</summary>
internal sealed record NotifyInput
{
    /// <summary>The row of <c>exports.notification</c>.</summary>
    public required Guid NotificationId { get; init; }
}

/// <summary>What became of it.</summary>
internal sealed record NotifyOutput
{
    /// <summary>False when its target was deleted meanwhile.</summary>
    public required bool Sent { get; init; }
}

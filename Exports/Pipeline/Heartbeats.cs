using Exporter.Engine.Workflows;

namespace Exporter.Exports.Pipeline;

/// <summary>Signs of life while ClickHouse thinks: it may take long before it answers, and slow is not dead.</summary>
internal static class Heartbeats
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>Awaits <paramref name="work"/>, which heeds the step's token and has a time limit of its own.</summary>
    public static async Task<T> WhileAsync<T>(IStepContext step, Task<T> work)
    {
        while (!work.IsCompleted)
        {
            step.Heartbeat();
            using var done = new CancellationTokenSource();
            await Task.WhenAny(work, Task.Delay(Interval, done.Token)).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
        }

        return await work.ConfigureAwait(false);
    }
}

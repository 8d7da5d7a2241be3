namespace Exporter.Engine.Workers;

/// <summary>Waits of any length; Task.Delay alone ends at 49 days.</summary>
internal static class Delay
{
    private static readonly TimeSpan Longest = TimeSpan.FromDays(20);

    public static async Task LongAsync(TimeSpan wait, TimeProvider time, CancellationToken cancellationToken)
    {
        for (; wait > Longest; wait -= Longest)
        {
            await Task.Delay(Longest, time, cancellationToken).ConfigureAwait(false);
        }

        if (wait > TimeSpan.Zero)
        {
            await Task.Delay(wait, time, cancellationToken).ConfigureAwait(false);
        }
    }
}

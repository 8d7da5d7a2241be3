using Spectre.Console;

namespace Exporter.Exports.Cli;

/// <summary>How far something is.</summary>
/// <param name="Text">In words.</param>
/// <param name="Done">Of <paramref name="Total"/>.</param>
/// <param name="Total">Null while it is not known.</param>
/// <param name="Ended">Whether it has ended.</param>
internal sealed record Progress(string Text, long Done, long? Total, bool Ended);

/// <summary>Shows progress until the end: a bar on a terminal, otherwise a line whenever it has changed, at most every few seconds.</summary>
internal static class Watch
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(5);

    public static Task UntilEndedAsync(Output output, Func<Task<Progress>> look, CancellationToken cancellationToken) =>
        output.IsJson ? QuietAsync(look, cancellationToken)
            : output.DrawsProgress ? BarAsync(output, look, cancellationToken)
            : LinesAsync(output, look, cancellationToken);

    private static async Task QuietAsync(Func<Task<Progress>> look, CancellationToken cancellationToken)
    {
        while (!(await look().ConfigureAwait(false)).Ended)
        {
            await Task.Delay(Poll, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }
    }

    private static Task BarAsync(Output output, Func<Task<Progress>> look, CancellationToken cancellationToken) => output.Progress.Progress()
        .Columns(new ProgressBarColumn(), new PercentageColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }, new ElapsedTimeColumn())
        .StartAsync(async context =>
        {
            var bar = context.AddTask("");
            while (true)
            {
                var progress = await look().ConfigureAwait(false);
                bar.Description = Markup.Escape(progress.Text);
                bar.IsIndeterminate = progress.Total is null && !progress.Ended;
                bar.MaxValue = Math.Max(progress.Total ?? 1, 1);
                bar.Value = Math.Min(progress.Done, bar.MaxValue);
                if (progress.Ended)
                {
                    return;
                }

                await Task.Delay(Poll, TimeProvider.System, cancellationToken).ConfigureAwait(false);
            }
        });

    private static async Task LinesAsync(Output output, Func<Task<Progress>> look, CancellationToken cancellationToken)
    {
        var said = "";
        var saidAt = 0L;
        while (true)
        {
            var progress = await look().ConfigureAwait(false);
            if (progress.Text != said && (said.Length == 0 || progress.Ended || TimeProvider.System.GetElapsedTime(saidAt) > LineInterval))
            {
                output.Remark(progress.Text);
                (said, saidAt) = (progress.Text, TimeProvider.System.GetTimestamp());
            }

            if (progress.Ended)
            {
                return;
            }

            await Task.Delay(Poll, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }
    }
}

using System.CommandLine;
using Exporter.Engine.Client;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter run verify</c> and <c>exporter export verify</c>: what was exported, beside what the source has now.</summary>
internal static class VerifyCommands
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(250);

    public static CliCommand OfRun()
    {
        var id = Values.Id("run");
        var (compare, wait) = (CompareOption(), WaitOption());
        return new CliCommand(
            "verify",
            "Count a completed run's rows and keys at the source again, and export again the slices that changed",
            "exporter run verify 019ab3c4-... --wait",
            "exporter run verify 019ab3c4-... --compare --wait").With(id, compare, wait).Does((parse, session, cancellationToken) => StartAsync(
                session, parse.GetRequiredValue(id), KindOf(parse.GetValue(compare)), parse.GetValue(wait), cancellationToken));
    }

    public static CliCommand OfExport()
    {
        var name = ExportCommands.Name();
        var start = Values.Time("--start", "Only intervals that begin here or later");
        var end = Values.Time("--end", "Only intervals that end here or earlier");
        var (compare, wait) = (CompareOption(), WaitOption());
        return new CliCommand(
            "verify",
            "The same for every interval of a batch export that is at the destination, or for those of a time",
            "exporter export verify events --start 2026-03-01 --end 2026-04-01 --wait").With(name, start, end, compare, wait).Does(async (parse, session, cancellationToken) =>
            {
                var export = await session.Exports.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var ids = await session.Verifications.StartAllAsync(
                    export, parse.GetValue(start), parse.GetValue(end), KindOf(parse.GetValue(compare)), session.Actor, cancellationToken).ConfigureAwait(false);
                return await AnswerAsync(session, ids, parse.GetValue(wait), cancellationToken).ConfigureAwait(false);
            });
    }

    internal static Option<bool> WaitOption() => new("--wait") { Description = "Wait until it has ended; the exit status says how" };

    /// <summary>Starts a look at a run.</summary>
    internal static async Task<int> StartAsync(Session session, Guid run, VerificationKind kind, bool wait, CancellationToken cancellationToken) =>
        await AnswerAsync(
            session, [await session.Verifications.StartAsync(run, kind, session.Actor, cancellationToken).ConfigureAwait(false)], wait, cancellationToken).ConfigureAwait(false);

    private static async Task<int> AnswerAsync(Session session, IReadOnlyList<Guid> ids, bool wait, CancellationToken cancellationToken)
    {
        var looks = new List<VerificationView>();
        foreach (var id in ids)
        {
            looks.Add(await LookAsync(session, id, wait, cancellationToken).ConfigureAwait(false));
        }

        session.Output.Answer(looks, output => looks.ForEach(look => output.Line(Text(look))));
        return looks.TrueForAll(look => !wait || (look.State == RunState.Completed.ToText() && look.Outcome != ExportJson.Word(VerificationOutcome.Changed)))
            ? ExitStatus.Ok
            : ExitStatus.Failed;
    }

    private static async Task<VerificationView> LookAsync(Session session, Guid id, bool wait, CancellationToken cancellationToken)
    {
        while (true)
        {
            var look = await session.Verifications.GetAsync(id, cancellationToken).ConfigureAwait(false);
            if (!wait || RunCommands.HasEnded(look.State))
            {
                return look;
            }

            await Task.Delay(Poll, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }
    }

    internal static string Text(VerificationView look)
    {
        var interval = new DataInterval(look.IntervalStart, look.IntervalEnd);
        return look.Outcome is null
            ? $"Verification {look.VerificationId} of {interval} is {look.State}{(look.Error is null ? "." : $": {look.Error}")}"
            : $"{interval}: {look.Outcome}; {look.SlicesChanged:N0} of {look.SlicesCompared:N0} slices had changed, {look.LateRows:N0} rows came late, {look.GoneRows:N0} are gone.";
    }

    private static VerificationKind KindOf(bool compare) => compare ? VerificationKind.Compare : VerificationKind.Verify;

    private static Option<bool> CompareOption() => new("--compare") { Description = "Only compare; nothing is exported again, and a difference is exit status 1" };
}

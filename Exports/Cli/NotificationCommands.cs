using System.CommandLine;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter notification</c>: who is told when something is wrong.</summary>
internal static class NotificationCommands
{
    public static Command All() => new CliCommand(
        "notification", "Who is told when exports fail, recover, pause themselves or are late", "exporter notification list").With(Create(), List(), Test(), Sent(), Delete());

    /// <summary><c>exporter export troubles</c>.</summary>
    public static CliCommand Troubles()
    {
        var all = new Option<bool>("--all") { Description = "Also those that are over" };
        var limit = Limit();
        return new CliCommand(
            "troubles", "List exports that are failing or late, since when and why", "exporter export troubles", "exporter export troubles --all --json").With(all, limit)
            .Does(async (parse, session, cancellationToken) =>
            {
                var troubles = await session.Notifications.TroublesAsync(!parse.GetValue(all), parse.GetValue(limit), cancellationToken).ConfigureAwait(false);
                session.Output.Answer(troubles, output => output.Table(
                    ["EXPORT", "KIND", "SINCE", "UNTIL", "INTERVAL", "ERROR"],
                    troubles.Select(one => (IReadOnlyList<string?>)
                        [one.BatchExport, one.Kind, Output.Text(one.BeganAt), Output.Text(one.EndedAt), new DataInterval(one.IntervalStart, one.IntervalEnd).ToString(), one.Error]),
                    "No export is failing or late."));
            });
    }

    private static CliCommand Create()
    {
        var name = Name();
        var email = new Option<string[]>("--email") { Description = "Who gets mail; once for each", HelpName = "address" };
        var url = new Option<string?>("--url") { Description = "Where signed messages go by POST, when the URL is no secret", HelpName = "url" };
        var urlFile = new Option<string?>("--url-file") { Description = "The file that holds the URL, - for standard input", HelpName = "file" };
        var urlVariable = new Option<string?>("--url-env") { Description = "The variable that holds the URL", HelpName = "variable" };
        var secretFile = new Option<string?>("--secret-file") { Description = "The file that holds what messages are signed with (whsec_...), - for standard input. Default a new one, which is shown once", HelpName = "file" };
        var secretVariable = new Option<string?>("--secret-env") { Description = "The variable that holds it", HelpName = "variable" };
        var events = new Option<string[]>("--on")
        {
            Description = $"What it is told of; once for each. Default everything: {string.Join(", ", ExportJson.Words<NotificationEvent>())}", HelpName = "event",
        };
        var exports = new Option<string[]>("--export") { Description = "Of which export; once for each. Default all of the project", HelpName = "export" };
        return new CliCommand(
            "create",
            "Tell somebody by mail or by a signed HTTP message (Standard Webhooks)",
            "exporter notification create ops --email ops@example.com --on failed --on late",
            "exporter notification create chat --url-env CHAT_URL",
            "exporter notification create pager --url https://pager.example.com/hook --secret-env PAGER_SECRET --export events").With(
                name, email, url, urlFile, urlVariable, secretFile, secretVariable, events, exports).Does(async (parse, session, cancellationToken) =>
                {
                    var address = parse.GetValue(url) ?? Read("url", parse.GetValue(urlFile), parse.GetValue(urlVariable));
                    var given = Read("secret", parse.GetValue(secretFile), parse.GetValue(secretVariable));
                    var secret = address is null ? null : given ?? WebhookSignature.NewSecret();
                    var chosen = (parse.GetValue(exports) ?? []).Distinct(StringComparer.Ordinal).ToArray();
                    foreach (var export in chosen)
                    {
                        await session.Exports.GetAsync(export, cancellationToken).ConfigureAwait(false);
                    }

                    var created = await session.Notifications.CreateAsync(
                        new NotificationTarget
                        {
                            Name = parse.GetRequiredValue(name),
                            Url = address,
                            Secret = secret,
                            Email = parse.GetValue(email) ?? [],
                            Events = parse.GetValue(events) is { Length: > 0 } words ? [.. words.Select(Event)] : Enum.GetValues<NotificationEvent>(),
                            BatchExports = chosen,
                        },
                        session.Actor,
                        cancellationToken).ConfigureAwait(false);
                    session.Output.Answer(new { Target = created, Secret = given is null ? secret : null }, output =>
                    {
                        output.Line($"{created.Name} is told of {Words(created)}. Try it: exporter notification test {created.Name}");
                        if (given is null && secret is not null)
                        {
                            output.Line($"Messages are signed with {secret}, which is not shown again.");
                        }
                    });
                });
    }

    private static CliCommand List() => new CliCommand("list", "List who is told of what", "exporter notification list").Does(async (_, session, cancellationToken) =>
    {
        var targets = await session.Notifications.ListAsync(cancellationToken).ConfigureAwait(false);
        session.Output.Answer(targets, output => output.Table(
            ["NAME", "KIND", "ADDRESS", "TOLD OF", "EXPORTS", "CREATED", "BY"],
            targets.Select(one => (IReadOnlyList<string?>)
                [one.Name, one.Kind, one.Address, Words(one), one.BatchExports.Count == 0 ? "all" : string.Join(", ", one.BatchExports), Output.Text(one.CreatedAt), one.CreatedBy]),
            "Nobody is told of anything; see `exporter notification create --help`."));
    });

    private static CliCommand Test()
    {
        var name = Name();
        return new CliCommand("test", "Send a trial now", "exporter notification test ops").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var target = await session.Notifications.LoadAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
            await new Notifier(TimeProvider.System, session.Settings.Smtp()).TryAsync(target, session.Settings.Project, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Sent = target.Name }, output => output.Line($"A trial went to {target.Address}."));
        });
    }

    private static CliCommand Sent()
    {
        var limit = Limit();
        return new CliCommand("sent", "List what was told, the latest first", "exporter notification sent --limit 20").With(limit).Does(async (parse, session, cancellationToken) =>
        {
            var sent = await session.Notifications.SentAsync(parse.GetValue(limit), cancellationToken).ConfigureAwait(false);
            session.Output.Answer(sent, output => output.Table(
                ["AT", "EVENT", "EXPORT", "TARGET", "SENT", "STATE", "DETAIL"],
                sent.Select(one => (IReadOnlyList<string?>)
                    [Output.Text(one.CreatedAt), ExportJson.Word(one.Event), one.BatchExport, one.Target, Output.Text(one.SentAt), one.State, one.Error ?? one.Detail]),
                "Nobody was told of anything."));
        });
    }

    private static CliCommand Delete()
    {
        var name = Name();
        return new CliCommand("delete", "Tell somebody no more", "exporter notification delete ops").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(name);
            await session.Notifications.DeleteAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Deleted = given }, output => output.Line($"{given} is told no more."));
        });
    }

    private static string Words(NotificationTargetView target) => string.Join(", ", target.Events.Select(ExportJson.Word));

    private static NotificationEvent Event(string word) => ExportJson.Find<NotificationEvent>(word) ?? throw new UserErrorException(
        "on", $"There is nothing named \"{word}\" to be told of.", $"Give one of {string.Join(", ", ExportJson.Words<NotificationEvent>())}.");

    private static string? Read(string setting, string? file, string? variable) =>
        file is not null ? SecretText.ReadFile(setting, file) : variable is not null ? SecretText.ReadVariable(setting, variable) : null;

    private static Argument<string> Name() => new("name") { Description = "The target's name" };

    private static Option<int> Limit() => new("--limit") { Description = "At most so many. Default 50", HelpName = "number", DefaultValueFactory = _ => 50 };
}

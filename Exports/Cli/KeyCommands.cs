using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter key</c>: what programs say who they are with. Encryption keys are <c>exporter keys</c>.</summary>
internal static class KeyCommands
{
    public static Command All() => new CliCommand("key", "API keys, for programs that use the HTTP API (encryption keys: exporter keys)", "exporter key list").With(Create(), List(), Revoke());

    private static CliCommand Create()
    {
        var name = new Argument<string>("name") { Description = "The key's name, unique in its project" };
        var role = new Option<string>("--role") { Description = "viewer, operator or admin, in all projects; project=role in one", HelpName = "role", Required = true };
        var expires = Values.Time("--expires-in", "When it ends. Default never", "duration");
        return new CliCommand(
            "create", "Make an API key, and print it once", "exporter key create ci --role default=operator --expires-in 90d", "exporter key create prometheus --role viewer").With(name, role, expires).Does(async (parse, session, cancellationToken) =>
            {
                var grant = UserCommands.Grant(parse.GetRequiredValue(role));
                var ends = parse.GetValue(expires) is { } span ? await session.Runs.ClockAsync(cancellationToken).ConfigureAwait(false) + span : (DateTimeOffset?)null;
                var (key, secret) = await session.ApiKeys.CreateAsync(parse.GetRequiredValue(name), grant, ends, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(new { Key = key, Secret = secret }, output => output.Line(secret));
                session.Output.Remark("It is not shown again. Send it as: Authorization: Bearer exk_...");
            });
    }

    private static CliCommand List()
    {
        var all = new Option<bool>("--all") { Description = "Also those that were revoked" };
        return new CliCommand("list", "List API keys, the newest first, without the keys themselves", "exporter key list --all").With(all).Does(async (parse, session, cancellationToken) =>
        {
            var keys = await session.ApiKeys.ListAsync(null, parse.GetValue(all), null, int.MaxValue, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(keys, output => output.Table(
                ["ID", "NAME", "KEY", "ROLE", "EXPIRES", "LAST USED", "CREATED", "BY"],
                keys.Select(key => (IReadOnlyList<string?>)
                [
                    key.KeyId.ToString(), key.Name, key.Hint + "...", UserCommands.Text(new AccessGrant(key.Project, key.Role)),
                    key.RevokedAt is null ? Output.Text(key.ExpiresAt) : "revoked", Output.Text(key.LastUsedAt), Output.Text(key.CreatedAt), key.CreatedBy,
                ]),
                "There are no API keys; see `exporter key create --help`."));
        });
    }

    private static CliCommand Revoke()
    {
        var id = Values.Id("key");
        return new CliCommand("revoke", "Revoke an API key, at once", "exporter key revoke 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(id);
            await session.ApiKeys.RevokeAsync(given, null, session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Revoked = given }, output => output.Line($"Revoked key {given}."));
        });
    }
}

using System.CommandLine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter user</c>: who may log in to the HTTP API.</summary>
internal static class UserCommands
{
    public static Command All() => new CliCommand("user", "Users of the HTTP API: a password and roles", "exporter user list").With(Create(), List(), Password(), Delete());

    /// <summary>A role as it is given: <c>viewer</c> in all projects, or <c>billing=viewer</c> in one.</summary>
    /// <exception cref="UserErrorException">It is none.</exception>
    internal static AccessGrant Grant(string text)
    {
        var (project, role) = text.Split('=', 2) is [var one, var word] ? (one, word) : (null, text);
        return ExportJson.Find<AccessRole>(role) is { } found
            ? new AccessGrant(project, found)
            : throw new UserErrorException("role", $"There is no role \"{role}\".", $"Use {string.Join(", ", ExportJson.Words<AccessRole>())}, with project= before it for one project.");
    }

    private static CliCommand Create()
    {
        var name = Name();
        var roles = new Option<string[]>("--role") { Description = "viewer, operator or admin, in all projects; project=role in one; again for each project", HelpName = "role" };
        return new CliCommand(
            "create",
            "Add a user, and print the one-time password, which is good for choosing another one",
            "exporter user create ann --role admin",
            "exporter user create bob --role default=operator --role billing=viewer").With(name, roles).Does(async (parse, session, cancellationToken) =>
            {
                var grants = (parse.GetValue(roles) ?? []).Select(Grant).ToList();
                var (user, password) = await session.Users.CreateAsync(parse.GetRequiredValue(name), grants, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(new { User = user, OneTimePassword = password }, output => output.Line(
                    $"Created user {user.Name}; the one-time password is not shown again: {password}"));
            });
    }

    private static CliCommand List() => new CliCommand("list", "List users", "exporter user list").Does(async (_, session, cancellationToken) =>
    {
        var users = await session.Users.ListAsync(null, int.MaxValue, cancellationToken).ConfigureAwait(false);
        session.Output.Answer(users, output => output.Table(
            ["NAME", "ROLES", "LAST LOGIN", "CREATED", "BY"],
            users.Select(user => (IReadOnlyList<string?>)
            [
                user.Name, string.Join(", ", user.Grants.Select(Text)), Output.Text(user.LastLoginAt), Output.Text(user.CreatedAt), user.CreatedBy,
            ]),
            "There are no users; `exporter serve` makes the first one, or `exporter user create`."));
    });

    private static CliCommand Password()
    {
        var name = Name();
        return new CliCommand(
            "password", "Give a user a new one-time password, and print it; its sessions end", "exporter user password ann").With(name).Does(async (parse, session, cancellationToken) =>
            {
                var given = parse.GetRequiredValue(name);
                var password = await session.Users.ResetPasswordAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(new { User = given, OneTimePassword = password }, output => output.Line($"The one-time password of {given}, which is not shown again: {password}"));
            });
    }

    private static CliCommand Delete()
    {
        var name = Name();
        return new CliCommand("delete", "Delete a user and end its sessions; API keys that it made stay", "exporter user delete ann").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(name);
            await session.Users.DeleteAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Deleted = given }, output => output.Line($"Deleted user {given}."));
        });
    }

    internal static string Text(AccessGrant grant) => $"{(grant.Project is null ? "" : grant.Project + "=")}{ExportJson.Word(grant.Role)}";

    private static Argument<string> Name() => new("name") { Description = "The user's name" };
}

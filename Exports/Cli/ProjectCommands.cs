using System.CommandLine;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter project</c>.</summary>
internal static class ProjectCommands
{
    public static Command All() => new CliCommand("project", "Projects: destinations and exports have their names in one", "exporter project list").With(Create(), List(), Delete());

    private static CliCommand Create()
    {
        var name = Name();
        return new CliCommand("create", "Create a project", "exporter project create billing").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var created = await session.Projects.CreateAsync(parse.GetRequiredValue(name), session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(created, output => output.Line($"Created project {created.Name}; --project {created.Name} works in it."));
        });
    }

    private static CliCommand List() => new CliCommand("list", "List projects", "exporter project list").Does(async (_, session, cancellationToken) =>
    {
        var projects = await session.Projects.ListAsync(cancellationToken).ConfigureAwait(false);
        session.Output.Answer(projects, output => output.Table(
            ["NAME", "DESTINATIONS", "EXPORTS", "CREATED", "BY"],
            projects.Select(one => (IReadOnlyList<string?>)[one.Name, Output.Text(one.Destinations), Output.Text(one.BatchExports), Output.Text(one.CreatedAt), one.CreatedBy]),
            ""));
    });

    private static CliCommand Delete()
    {
        var name = Name();
        return new CliCommand("delete", "Delete a project that never had anything in it", "exporter project delete billing").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(name);
            await session.Projects.DeleteAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Deleted = given }, output => output.Line($"Deleted project {given}."));
        });
    }

    private static Argument<string> Name() => new("name") { Description = "The project's name" };
}

using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>What somebody may do; each may do what those before it may.</summary>
public enum AccessRole
{
    /// <summary>See everything but secrets and rows.</summary>
    Viewer,

    /// <summary>Also start, pause, repair and backfill, and see rows that were put aside.</summary>
    Operator,

    /// <summary>Also configure exports, destinations and access.</summary>
    Admin,
}

/// <summary>A role in a project.</summary>
/// <param name="Project">The project; null for all of them, also those to come.</param>
/// <param name="Role">What may be done there.</param>
public sealed record AccessGrant(string? Project, AccessRole Role);

/// <summary>Who asks for something, and what they may do.</summary>
/// <param name="Name">As in the audit log.</param>
/// <param name="Grants">Roles; none means that nothing is allowed.</param>
public sealed record Caller(string Name, IReadOnlyList<AccessGrant> Grants)
{
    /// <summary>Whether this is allowed in a project.</summary>
    /// <param name="role">What is needed.</param>
    /// <param name="project">Where; null for what belongs to no project, which asks for a role in all of them.</param>
    public bool May(AccessRole role, string? project) =>
        Grants.Any(grant => grant.Role >= role && (grant.Project is null || grant.Project == project));

    /// <summary>Whether anything of a project may be seen.</summary>
    internal bool Sees(string project) => May(AccessRole.Viewer, project);

    internal static IReadOnlyList<AccessGrant> Checked(IReadOnlyList<AccessGrant> grants)
    {
        foreach (var grant in grants)
        {
            if (grant.Project is { } project)
            {
                ModelName.Check("project", project);
            }

            if (!Enum.IsDefined(grant.Role))
            {
                throw new UserErrorException("role", "There is no such role.", $"Use {string.Join(", ", ExportJson.Words<AccessRole>())}.");
            }
        }

        return grants.GroupBy(grant => grant.Project).Any(group => group.Skip(1).Any())
            ? throw new UserErrorException("grants", "Two roles are given for one project.", "Give one, the higher.")
            : grants;
    }
}

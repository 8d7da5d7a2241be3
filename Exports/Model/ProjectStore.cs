using System.Text.Json;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Projects: destinations and exports have their names in one.</summary>
public sealed class ProjectStore(NpgsqlDataSource data)
{
    /// <summary>The project of what is in no other; always there.</summary>
    public const string Default = "default";

    private readonly ExportDatabase _database = new(data, "sql/projects.sql");

    /// <summary>Adds a project.</summary>
    /// <param name="name">Its name; see <see cref="ModelName"/>.</param>
    /// <param name="actor">Who adds it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">The name is taken, or cannot be one.</exception>
    public Task<ProjectView> CreateAsync(string name, string actor, CancellationToken cancellationToken = default)
    {
        ModelName.Check("name", name);
        return _database.InTransactionAsync(
            async transaction =>
            {
                var id = await _database.FirstAsync<Guid?>(transaction, "InsertProject", new { Name = name, Actor = actor }, cancellationToken).ConfigureAwait(false)
                    ?? throw new UserErrorException("name", $"There is a project named \"{name}\" already.", "Choose another name.", reason: UserErrorReason.Conflict);
                var created = (await _database.ViewAsync<ProjectView>(transaction, "FindProject", new { Name = name }, cancellationToken).ConfigureAwait(false))!;
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, AuditAction.Create, AuditKind.Project, id, name, name, After: JsonSerializer.SerializeToNode(created, ExportJson.Options)),
                    cancellationToken).ConfigureAwait(false);
                return created;
            },
            cancellationToken);
    }

    /// <summary>All projects, by name.</summary>
    public Task<IReadOnlyList<ProjectView>> ListAsync(CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<ProjectView>("ListProjects", new { }, cancellationToken);

    /// <summary>A project.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<ProjectView> GetAsync(string name, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<ProjectView>("FindProject", new { Name = name }, cancellationToken).ConfigureAwait(false) ?? throw Unknown(name);

    /// <summary>Deletes a project that never had anything in it: what has history keeps its project.</summary>
    /// <exception cref="UserErrorException">There is none of this name, it is <see cref="Default"/>, or it has or had something.</exception>
    public async Task DeleteAsync(string name, string actor, CancellationToken cancellationToken = default)
    {
        var before = await GetAsync(name, cancellationToken).ConfigureAwait(false);
        var refused = new UserErrorException("project", $"Project {name} cannot be deleted: {(name == Default ? "it is always there" : "it has, or had, destinations")}.", "Leave it.", reason: UserErrorReason.Conflict);
        if (name == Default)
        {
            throw refused;
        }

        await _database.InTransactionAsync(
            async transaction =>
            {
                try
                {
                    var id = await _database.FirstAsync<Guid?>(transaction, "DeleteProject", new { Name = name }, cancellationToken).ConfigureAwait(false) ?? throw Unknown(name);
                    await AuditLog.WriteAsync(
                        transaction,
                        new(actor, AuditAction.Delete, AuditKind.Project, id, name, name, Before: JsonSerializer.SerializeToNode(before, ExportJson.Options)),
                        cancellationToken).ConfigureAwait(false);
                    return id;
                }
                catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.ForeignKeyViolation)
                {
                    throw refused;
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    internal static UserErrorException Unknown(string name, Exception? inner = null) => new(
        "project", $"There is no project named \"{name}\".", "See `exporter project list`, or create it with `exporter project create`.", inner, reason: UserErrorReason.NotFound);
}

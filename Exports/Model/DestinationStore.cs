using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Destinations, with their secrets encrypted at rest. Names are those of one project; ids are of all.</summary>
/// <param name="data">The database.</param>
/// <param name="codec">Encrypts secrets.</param>
/// <param name="project">The project. Default <see cref="ProjectStore.Default"/>.</param>
public sealed class DestinationStore(NpgsqlDataSource data, PayloadCodec codec, string project = ProjectStore.Default)
{
    private readonly ExportDatabase _database = new(data, "sql/destinations.sql");

    /// <summary>The same in another project.</summary>
    public DestinationStore In(string project) => new(data, codec, project);

    /// <summary>Adds a destination.</summary>
    /// <param name="destination">The destination.</param>
    /// <param name="actor">Who adds it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">A value is out of range, the name is taken, or there is no key to encrypt secrets with.</exception>
    public Task<DestinationView> CreateAsync(Destination destination, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        CheckStorable(destination);
        return _database.InTransactionAsync(
            async transaction =>
            {
                try
                {
                    await _database.ExecuteAsync(transaction, "InsertDestination", Row(destination), cancellationToken).ConfigureAwait(false);
                }
                catch (PostgresException error) when (error.ConstraintName == "destination_name")
                {
                    throw new UserErrorException(
                        "name", $"There is a destination named \"{destination.Name}\" already.", "Choose another name, or delete that one first.", error, reason: UserErrorReason.Conflict);
                }
                catch (PostgresException error) when (error.ConstraintName == "destination_project_fkey")
                {
                    throw ProjectStore.Unknown(project, error);
                }

                var created = await FindAsync(transaction, destination.Name, cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, AuditAction.Create, AuditKind.Destination, destination.Id, destination.Name, project, After: Audited(created!)),
                    cancellationToken).ConfigureAwait(false);
                return created!;
            },
            cancellationToken);
    }

    /// <summary>Changes a destination; see <see cref="DestinationEdit"/>.</summary>
    /// <param name="name">The destination.</param>
    /// <param name="edit">What is to be changed.</param>
    /// <param name="actor">Who changes it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">There is none of this name, rows lie where it pointed to, or somebody else was quicker.</exception>
    public Task<DestinationView> EditAsync(string name, DestinationEdit edit, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(edit);
        return _database.InTransactionAsync(
            async transaction =>
            {
                var id = await _database.FirstAsync<Guid?>(transaction, "LockDestination", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
                    ?? throw Unknown(name);
                var view = (await FindAsync(transaction, name, cancellationToken).ConfigureAwait(false))!;
                ModelCheck.Unchanged(name, view.UpdatedAt, edit.UnchangedSince);
                var before = Read((await _database.FirstAsync<DestinationRow>(transaction, "LoadDestination", new { Id = id }, cancellationToken).ConfigureAwait(false))!);
                var edited = edit.Of(before);
                CheckStorable(edited);
                if (!edit.RowsWereMoved && MovedPlace(before, edited) is { } place
                    && await _database.FirstAsync<bool>(transaction, "HoldsRows", new { Id = id }, cancellationToken).ConfigureAwait(false))
                {
                    throw new UserErrorException(
                        place.Name,
                        $"Rows were exported to {name}, and {place.Name} says where they lie.",
                        "Make another destination and duplicate its exports; or, when what was exported was moved there, say so with --moved.", reason: UserErrorReason.Conflict);
                }

                await _database.ExecuteAsync(transaction, "UpdateDestination", Row(edited), cancellationToken).ConfigureAwait(false);
                var after = (await FindAsync(transaction, name, cancellationToken).ConfigureAwait(false))!;
                var (old, young) = (Audited(view)!, Audited(after)!);
                foreach (var secret in edited.Secrets.Where(pair => before.Secrets.TryGetValue(pair.Key, out var was) && was != pair.Value).Select(pair => pair.Key))
                {
                    young["secrets"]![secret] = "*** (another)";
                }

                await AuditLog.WriteAsync(
                    transaction, new(actor, AuditAction.Update, AuditKind.Destination, id, name, project, old, young), cancellationToken).ConfigureAwait(false);
                return after;
            },
            cancellationToken);
    }

    /// <summary>All destinations, by name.</summary>
    public Task<IReadOnlyList<DestinationView>> ListAsync(CancellationToken cancellationToken = default) =>
        ListAsync(null, null, cancellationToken);

    /// <summary>Destinations by name, from behind one on.</summary>
    /// <param name="after">The name before the first one; null for the first of all.</param>
    /// <param name="limit">At most so many; null for all.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<IReadOnlyList<DestinationView>> ListAsync(string? after, int? limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<DestinationView>("ListDestinations", new { Project = project, After = after, Limit = limit }, cancellationToken);

    /// <summary>A destination without its secrets.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<DestinationView> GetAsync(string name, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<DestinationView>("FindDestination", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
            ?? throw Unknown(name);

    /// <summary>A destination with its secrets.</summary>
    /// <exception cref="UserErrorException">It is not there, or its secrets cannot be read with the keys at hand.</exception>
    public async Task<Destination> LoadAsync(Guid id, CancellationToken cancellationToken = default)
    {
        var row = await _database.FirstAsync<DestinationRow>("LoadDestination", new { Id = id }, cancellationToken).ConfigureAwait(false)
            ?? throw Unknown(id.ToString());
        return Read(row);
    }

    /// <summary>Deletes a destination and its secrets. Runs that went there stay.</summary>
    /// <exception cref="UserErrorException">There is none of this name, or batch exports go there.</exception>
    public Task DeleteAsync(string name, string actor, CancellationToken cancellationToken = default) =>
        _database.InTransactionAsync(
            async transaction =>
            {
                var id = await _database.FirstAsync<Guid?>(transaction, "LockDestination", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
                    ?? throw Unknown(name);
                if (await _database.FirstAsync<string>(transaction, "ExportsOfDestination", new { Id = id }, cancellationToken).ConfigureAwait(false) is { } export)
                {
                    throw new UserErrorException(
                        "name", $"Batch export \"{export}\" goes to destination \"{name}\".", $"Delete that export first: exporter export delete {export}", reason: UserErrorReason.Conflict);
                }

                var before = await FindAsync(transaction, name, cancellationToken).ConfigureAwait(false);
                await _database.ExecuteAsync(transaction, "DeleteDestination", new { Id = id }, cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction, new(actor, AuditAction.Delete, AuditKind.Destination, id, name, project, Before: Audited(before!)), cancellationToken).ConfigureAwait(false);
                return id;
            },
            cancellationToken);

    /// <summary>Encrypts the secrets of every destination again that are not under the ring's newest key.</summary>
    /// <returns>How many destinations have secrets, and how many of these were encrypted again.</returns>
    /// <exception cref="UserErrorException">Secrets are under a key that is not in the ring.</exception>
    public async Task<(int Seen, int Rotated)> RotateAsync(CancellationToken cancellationToken = default)
    {
        var rows = await _database.ListAsync<DestinationRow>("AllSecrets", new { }, cancellationToken).ConfigureAwait(false);
        var rotated = 0;
        foreach (var row in rows.Where(row => codec.NeedsRotation(row.Secrets)))
        {
            // Only what was read is replaced: somebody may have set other secrets meanwhile.
            rotated += await _database.ExecuteAsync(
                "ReplaceSecrets", new { row.Id, Old = row.Secrets, New = codec.Write(Decrypt(row), Place(row.Id)) }, cancellationToken).ConfigureAwait(false);
        }

        return (rows.Count, rotated);
    }

    internal static UserErrorException Unknown(string name) => new(
        "destination", $"There is no destination named \"{name}\".", "See `exporter destination list`, or create it with `exporter destination create`.", reason: UserErrorReason.NotFound);

    private static DestinationSetting? MovedPlace(Destination before, Destination after) => DestinationKinds.Get(before.Kind).Settings.FirstOrDefault(
        setting => setting.Place && !JsonNode.DeepEquals(before.Settings[setting.Name], after.Settings[setting.Name]));

    private void CheckStorable(Destination destination)
    {
        destination.Validate();
        if (destination.Secrets.Count > 0)
        {
            StoredSecrets.DemandKey(codec, $"Destination \"{destination.Name}\"");
        }
    }

    private Destination Read(DestinationRow row) => new()
    {
        Id = row.Id,
        Name = row.Name,
        Kind = row.Kind,
        Settings = JsonNode.Parse(row.Settings)!.AsObject(),
        Secrets = row.Secrets is null ? new Dictionary<string, string>() : Decrypt(row),
    };

    private static string Place(Guid id) => $"destination {id} secrets";

    private static JsonNode? Audited(DestinationView view)
    {
        var entry = JsonSerializer.SerializeToNode(view, ExportJson.Options)!.AsObject();
        entry["secrets"] = new JsonObject(view.SecretNames.Select(name => KeyValuePair.Create<string, JsonNode?>(name, "***")));
        entry.Remove("secret_names");
        return entry;
    }

    private Task<DestinationView?> FindAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken) =>
        _database.ViewAsync<DestinationView>(transaction, "FindDestination", new { Project = project, Name = name }, cancellationToken);

    private object Row(Destination destination) => new
    {
        destination.Id,
        Project = project,
        destination.Name,
        destination.Kind,
        Settings = destination.Settings.ToJsonString(ExportJson.Options),
        Secrets = destination.Secrets.Count == 0 ? null : codec.Write(destination.Secrets, Place(destination.Id)),
        SecretNames = destination.Secrets.Keys.Order(StringComparer.Ordinal).ToArray(),
    };

    private Dictionary<string, string> Decrypt(DestinationRow row) =>
        StoredSecrets.Read<Dictionary<string, string>>(codec, row.Secrets!, Place(row.Id), $"destination \"{row.Name}\"");

    private sealed class DestinationRow
    {
        public Guid Id { get; init; }

        public required string Name { get; init; }

        public required string Kind { get; init; }

        public required string Settings { get; init; }

        public byte[]? Secrets { get; init; }
    }
}

using System.Text.Json;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Notifications;

/// <summary>Who is told, and what they were told. A target is not changed: it is made anew.</summary>
/// <param name="data">The database.</param>
/// <param name="codec">Encrypts URLs and what messages are signed with.</param>
/// <param name="project">The project. Default <see cref="ProjectStore.Default"/>.</param>
internal sealed class NotificationStore(NpgsqlDataSource data, PayloadCodec codec, string project = ProjectStore.Default)
{
    private readonly ExportDatabase _database = new(data, "sql/notifications.sql");

    /// <summary>The same in another project.</summary>
    public NotificationStore In(string project) => new(data, codec, project);

    /// <summary>Adds a target.</summary>
    /// <exception cref="UserErrorException">A value is out of range, the name is taken, or there is no key to encrypt secrets with.</exception>
    public Task<NotificationTargetView> CreateAsync(NotificationTarget target, string actor, CancellationToken cancellationToken = default)
    {
        target.Validate();
        if (target.Url is not null)
        {
            StoredSecrets.DemandKey(codec, target.Name);
        }

        return _database.InTransactionAsync(
            async transaction =>
            {
                try
                {
                    await _database.ExecuteAsync(
                        transaction,
                        "InsertTarget",
                        new
                        {
                            TargetId = target.Id,
                            Project = project,
                            target.Name,
                            target.Kind,
                            target.Address,
                            Secrets = target.Url is null ? null : codec.Write(new TargetSecrets(target.Url, target.Secret!), Place(target.Id)),
                            Events = target.Events.Distinct().Select(ExportJson.Word).ToArray(),
                            BatchExports = target.BatchExports.Distinct(StringComparer.Ordinal).ToArray(),
                            Actor = actor,
                        },
                        cancellationToken).ConfigureAwait(false);
                }
                catch (PostgresException error) when (error.ConstraintName == "notification_target_name")
                {
                    throw new UserErrorException(
                        "name", $"There is a notification target named \"{target.Name}\" already.", "Choose another name, or delete that one first.", error, reason: UserErrorReason.Conflict);
                }
                catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.ForeignKeyViolation)
                {
                    throw ProjectStore.Unknown(project, error);
                }

                var created = (await _database.ViewAsync<NotificationTargetView>(
                    transaction, "FindTarget", new { Project = project, target.Name }, cancellationToken).ConfigureAwait(false))!;
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, AuditAction.Create, AuditKind.NotificationTarget, target.Id, target.Name, project, After: JsonSerializer.SerializeToNode(created, ExportJson.Options)),
                    cancellationToken).ConfigureAwait(false);
                return created;
            },
            cancellationToken);
    }

    /// <summary>Deletes a target. What it was told stays; what it was still to be told is given up.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task DeleteAsync(string name, string actor, CancellationToken cancellationToken = default)
    {
        var before = await GetAsync(name, cancellationToken).ConfigureAwait(false);
        await _database.InTransactionAsync(
            async transaction =>
            {
                var id = await _database.FirstAsync<Guid?>(transaction, "DeleteTarget", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
                    ?? throw Unknown(name);
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, AuditAction.Delete, AuditKind.NotificationTarget, id, name, project, Before: JsonSerializer.SerializeToNode(before, ExportJson.Options)),
                    cancellationToken).ConfigureAwait(false);
                return id;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>All targets of the project, by name, without secrets.</summary>
    public Task<IReadOnlyList<NotificationTargetView>> ListAsync(CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<NotificationTargetView>("ListTargets", new { Project = project }, cancellationToken);

    /// <summary>A target, without secrets.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<NotificationTargetView> GetAsync(string name, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<NotificationTargetView>("FindTarget", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false)
            ?? throw Unknown(name);

    /// <summary>A target with its secrets, to send to.</summary>
    /// <exception cref="UserErrorException">There is none of this name, or its secrets cannot be read with the keys at hand.</exception>
    public async Task<NotificationTarget> LoadAsync(string name, CancellationToken cancellationToken = default) =>
        Read(await _database.FirstAsync<TargetRow>("LoadTarget", new { Project = project, Name = name }, cancellationToken).ConfigureAwait(false) ?? throw Unknown(name));

    /// <summary>What targets of the project were told, the newest first.</summary>
    public Task<IReadOnlyList<NotificationView>> SentAsync(int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<NotificationView>("ListNotifications", new { Project = project, Limit = limit }, cancellationToken);

    /// <summary>When exports of the project failed or were late, the newest first.</summary>
    public Task<IReadOnlyList<TroubleView>> TroublesAsync(bool open, int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<TroubleView>("ListTroubles", new { Project = project, Open = open, Limit = limit }, cancellationToken);

    /// <summary>Encrypts the secrets of every target again that are not under the ring's newest key.</summary>
    /// <returns>How many targets have secrets, and how many of these were encrypted again.</returns>
    /// <exception cref="UserErrorException">Secrets are under a key that is not in the ring.</exception>
    public async Task<(int Seen, int Rotated)> RotateAsync(CancellationToken cancellationToken = default)
    {
        var rows = await _database.ListAsync<TargetRow>("AllTargetSecrets", new { }, cancellationToken).ConfigureAwait(false);
        var rotated = 0;
        foreach (var row in rows.Where(row => codec.NeedsRotation(row.Secrets)))
        {
            rotated += await _database.ExecuteAsync(
                "ReplaceTargetSecrets",
                new { row.TargetId, Old = row.Secrets, New = codec.Write(Decrypt(row), Place(row.TargetId)) },
                cancellationToken).ConfigureAwait(false);
        }

        return (rows.Count, rotated);
    }

    /// <summary>A message and who is to have it; null when that target was deleted.</summary>
    internal async Task<(NotificationTarget Target, NotificationMessage Message)?> FindAsync(Guid notificationId, CancellationToken cancellationToken)
    {
        var row = await _database.FirstAsync<TargetRow>("TargetOfNotification", new { NotificationId = notificationId }, cancellationToken).ConfigureAwait(false);
        var view = await _database.ViewAsync<NotificationView>("FindNotification", new { NotificationId = notificationId }, cancellationToken).ConfigureAwait(false);
        if (row is null || view is null)
        {
            return null;
        }

        var interval = view is { IntervalStart: { } start, IntervalEnd: { } end } ? new DataInterval(start, end) : null;
        return (
            Read(row),
            new NotificationMessage(view.NotificationId, view.Event, view.CreatedAt, view.Project, view.BatchExport, interval, view.RunId, view.Detail));
    }

    /// <summary>It was told; in the transaction of the step that says so.</summary>
    internal Task MarkSentAsync(NpgsqlTransaction transaction, Guid notificationId, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(transaction, "MarkSent", new { NotificationId = notificationId }, cancellationToken);

    private static UserErrorException Unknown(string name) => new(
        "name", $"There is no notification target named \"{name}\".", "See `exporter notification list`.", reason: UserErrorReason.NotFound);

    private static string Place(Guid id) => $"notification target {id} secrets";

    private NotificationTarget Read(TargetRow row)
    {
        var secrets = row.Secrets is null ? null : Decrypt(row);
        return new NotificationTarget
        {
            Id = row.TargetId,
            Name = row.Name,
            Url = secrets?.Url,
            Secret = secrets?.Secret,
            Email = secrets is null ? row.Address.Split(", ") : [],
        };
    }

    private TargetSecrets Decrypt(TargetRow row) =>
        StoredSecrets.Read<TargetSecrets>(codec, row.Secrets!, Place(row.TargetId), $"notification target \"{row.Name}\"");

    private sealed record TargetSecrets(string Url, string Secret);

    private sealed class TargetRow
    {
        public Guid TargetId { get; init; }

        public required string Name { get; init; }

        public required string Address { get; init; }

        public byte[]? Secrets { get; init; }
    }
}

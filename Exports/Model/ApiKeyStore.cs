using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>API keys: 256 random bits that are shown once and stored as their hash.</summary>
internal sealed class ApiKeyStore(NpgsqlDataSource data)
{
    /// <summary>What every key begins with, so that scanners find one that was published.</summary>
    public const string Prefix = "exk_";

    private readonly ExportDatabase _database = new(data, "sql/access.sql");

    /// <summary>Makes a key.</summary>
    /// <param name="name">Its name, unique in its project.</param>
    /// <param name="grant">What it may do, in one project or in all.</param>
    /// <param name="expiresAt">When it ends; null for never.</param>
    /// <param name="actor">Who makes it.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The key as it is listed, and the secret, which is stored nowhere.</returns>
    /// <exception cref="UserErrorException">The name is taken or cannot be one, there is no such project, or the expiry has passed.</exception>
    public Task<(ApiKeyView Key, string Secret)> CreateAsync(
        string name, AccessGrant grant, DateTimeOffset? expiresAt, string actor, CancellationToken cancellationToken = default)
    {
        ModelName.Check("name", name);
        Caller.Checked([grant]);
        if (expiresAt?.UtcDateTime.Year > 2400)
        {
            throw new UserErrorException("expires_at", "The key would end after the year 2400.", "Choose an earlier time, or leave it out.");
        }

        var secret = Prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var id = Guid.CreateVersion7();
        return _database.InTransactionAsync(
            async transaction =>
            {
                try
                {
                    await _database.ExecuteAsync(
                        transaction,
                        "InsertKey",
                        new
                        {
                            KeyId = id,
                            Name = name,
                            Hash = HashOf(secret),
                            Hint = secret[..(Prefix.Length + 6)],
                            grant.Project,
                            Role = ExportJson.Word(grant.Role),
                            Actor = actor,
                            ExpiresAt = expiresAt?.UtcDateTime,
                        },
                        cancellationToken).ConfigureAwait(false);
                }
                catch (PostgresException error) when (error.ConstraintName == "api_key_name")
                {
                    throw new UserErrorException("name", $"There is a key named \"{name}\" already.", "Choose another name, or revoke that one first.", error, UserErrorReason.Conflict);
                }
                catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.ForeignKeyViolation)
                {
                    throw ProjectStore.Unknown(grant.Project!, error);
                }
                catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.CheckViolation)
                {
                    throw new UserErrorException("expires_at", "The key would have ended already.", "Choose a later time.", error);
                }

                var created = (await _database.ViewAsync<ApiKeyView>(transaction, "ListKeys", ById(id), cancellationToken).ConfigureAwait(false))!;
                await WriteAuditAsync(transaction, actor, AuditAction.Create, created, cancellationToken).ConfigureAwait(false);
                return (created, secret);
            },
            cancellationToken);
    }

    /// <summary>Keys, the newest first.</summary>
    /// <param name="project">Only those of this project; null for all.</param>
    /// <param name="all">Also those that were revoked.</param>
    /// <param name="after">Only older ones than this: for the next page.</param>
    /// <param name="limit">At most so many.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<IReadOnlyList<ApiKeyView>> ListAsync(string? project, bool all, ListPlace? after, int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<ApiKeyView>(
            "ListKeys",
            new { All = all, Project = project, KeyId = (Guid?)null, AfterAt = after?.CreatedAt.UtcDateTime, AfterId = after?.Id, Limit = limit },
            cancellationToken);

    /// <summary>Revokes a key, at once.</summary>
    /// <param name="id">The key.</param>
    /// <param name="project">The project that it has to be of; null for any.</param>
    /// <param name="actor">Who revokes it.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">There is none, or it was revoked.</exception>
    public Task RevokeAsync(Guid id, string? project, string actor, CancellationToken cancellationToken = default) => _database.InTransactionAsync(
        async transaction =>
        {
            var key = await _database.ViewAsync<ApiKeyView>(transaction, "ListKeys", ById(id), cancellationToken).ConfigureAwait(false);
            if (key is null || (project is not null && key.Project != project)
                || await _database.ExecuteAsync(transaction, "RevokeKey", new { KeyId = id }, cancellationToken).ConfigureAwait(false) != 1)
            {
                throw new UserErrorException("key", $"There is no key {id}, or it was revoked.", "See `exporter key list`.", reason: UserErrorReason.NotFound);
            }

            await WriteAuditAsync(transaction, actor, AuditAction.Delete, key, cancellationToken).ConfigureAwait(false);
            return id;
        },
        cancellationToken);

    /// <summary>Whose key it is; null when it is none, was revoked, or has ended.</summary>
    public async Task<Caller?> FindAsync(string secret, CancellationToken cancellationToken)
    {
        if (!secret.StartsWith(Prefix, StringComparison.Ordinal) || secret.Length > 100)
        {
            return null;
        }

        if (await _database.ViewAsync<FoundKey>("FindKey", new { Hash = HashOf(secret) }, cancellationToken).ConfigureAwait(false) is not { } key)
        {
            return null;
        }

        if (!key.IsSeen)
        {
            await _database.ExecuteAsync("SeeKey", new { key.KeyId }, cancellationToken).ConfigureAwait(false);
        }

        // No user's name has a colon.
        return new Caller($"key:{key.Name}", [new AccessGrant(key.Project, key.Role)]);
    }

    private static byte[] HashOf(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));

    private static object ById(Guid id) => new { All = false, Project = (string?)null, KeyId = id, AfterAt = (DateTime?)null, AfterId = (Guid?)null, Limit = 1 };

    private static Task WriteAuditAsync(NpgsqlTransaction transaction, string actor, AuditAction action, ApiKeyView key, CancellationToken cancellationToken)
    {
        var node = JsonSerializer.SerializeToNode(key, ExportJson.Options);
        return AuditLog.WriteAsync(
            transaction,
            new(actor, action, AuditKind.ApiKey, key.KeyId, key.Name, key.Project, action == AuditAction.Create ? null : node, action == AuditAction.Create ? node : null),
            cancellationToken);
    }

    private sealed record FoundKey(Guid KeyId, string Name, string? Project, AccessRole Role, bool IsSeen);
}

/// <summary>An API key, without its secret.</summary>
internal sealed record ApiKeyView(
    Guid KeyId, string Name, string Hint, string? Project, AccessRole Role, string CreatedBy, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt,
    DateTimeOffset? LastUsedAt, DateTimeOffset? RevokedAt);

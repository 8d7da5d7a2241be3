using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.RegularExpressions;
using Exporter.Exports.Destinations;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Users with passwords and roles. Passwords are stored as ASP.NET Core hashes them (PBKDF2 with SHA-512), and never shown.</summary>
internal sealed partial class UserStore(NpgsqlDataSource data)
{
    /// <summary>A password has at least so many characters.</summary>
    public const int LeastPassword = 12;

    /// <summary>And at most so many: hashing a book takes long.</summary>
    public const int MostPassword = 256;

    private static readonly PasswordHasher<string> Hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = 210_000 }));

    // What a password is compared with when there is no such user, so that the answer takes as long.
    private static readonly Lazy<string> NobodysHash = new(() => Hasher.HashPassword("", NewPassword()));

    private static readonly AccessGrant Everything = new(null, AccessRole.Admin);

    private readonly ExportDatabase _database = new(data, "sql/access.sql");

    /// <summary>A password that nobody guesses: 144 random bits.</summary>
    public static string NewPassword() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(18));

    /// <summary>Adds a user with a one-time password, which is good for setting another one.</summary>
    /// <returns>The user, and the password, which is stored nowhere.</returns>
    /// <exception cref="UserErrorException">The name is taken or cannot be one, or there is no such project.</exception>
    public Task<(UserView User, string Password)> CreateAsync(string name, IReadOnlyList<AccessGrant> grants, string actor, CancellationToken cancellationToken = default)
    {
        CheckName(name);
        Caller.Checked(grants);
        var password = NewPassword();
        var hash = Hasher.HashPassword(name, password);
        return _database.InTransactionAsync(
            async transaction => (await CreateAsync(transaction, name, hash, grants, actor, cancellationToken).ConfigureAwait(false), password), cancellationToken);
    }

    /// <summary>Adds an administrator when there is no user at all.</summary>
    /// <returns>Its one-time password; null when there are users.</returns>
    public async Task<string?> CreateFirstAsync(string name, string actor, CancellationToken cancellationToken)
    {
        if (await _database.FirstAsync<bool>("AnyUser", new { }, cancellationToken).ConfigureAwait(false))
        {
            return null;
        }

        var password = NewPassword();
        var hash = Hasher.HashPassword(name, password);
        return await _database.InTransactionAsync(
            async transaction =>
            {
                await _database.ExecuteAsync(transaction, "LockUsers", new { }, cancellationToken).ConfigureAwait(false);
                if (await _database.FirstAsync<bool>(transaction, "AnyUser", new { }, cancellationToken).ConfigureAwait(false))
                {
                    return null;
                }

                await CreateAsync(transaction, name, hash, [Everything], actor, cancellationToken).ConfigureAwait(false);
                return password;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Users by name, from behind one on.</summary>
    public Task<IReadOnlyList<UserView>> ListAsync(string? after, int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<UserView>("ListUsers", new { Name = (string?)null, After = after, Limit = limit }, cancellationToken);

    /// <summary>A user.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<UserView> GetAsync(string name, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<UserView>("ListUsers", ByName(name), cancellationToken).ConfigureAwait(false) ?? throw Unknown(name);

    /// <summary>Gives a user other roles; sessions have them at once.</summary>
    /// <param name="name">The user.</param>
    /// <param name="grants">All roles.</param>
    /// <param name="unchangedSince">Refuses it when somebody has changed the user since; null: the last change wins.</param>
    /// <param name="actor">Who does it.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">There is none of this name, no such project, or nobody would be left who may do everything.</exception>
    public Task<UserView> SetGrantsAsync(
        string name, IReadOnlyList<AccessGrant> grants, DateTimeOffset? unchangedSince, string actor, CancellationToken cancellationToken = default)
    {
        Caller.Checked(grants);
        return _database.InTransactionAsync(
            async transaction =>
            {
                await _database.ExecuteAsync(transaction, "LockUsers", new { }, cancellationToken).ConfigureAwait(false);
                var user = await LockAsync(transaction, name, cancellationToken).ConfigureAwait(false);
                var before = await FindAsync(transaction, user.Name, cancellationToken).ConfigureAwait(false);
                ModelCheck.Unchanged(user.Name, before.UpdatedAt, unchangedSince);
                if (!grants.Contains(Everything))
                {
                    await KeepAdminAsync(transaction, before, cancellationToken).ConfigureAwait(false);
                }

                await _database.ExecuteAsync(transaction, "DeleteGrants", new { user.UserId }, cancellationToken).ConfigureAwait(false);
                await GrantAsync(transaction, user.UserId, grants, cancellationToken).ConfigureAwait(false);
                await _database.ExecuteAsync(transaction, "TouchUser", new { user.UserId }, cancellationToken).ConfigureAwait(false);
                var after = await FindAsync(transaction, user.Name, cancellationToken).ConfigureAwait(false);
                await WriteAuditAsync(transaction, actor, AuditAction.Update, before, after, cancellationToken).ConfigureAwait(false);
                return after;
            },
            cancellationToken);
    }

    /// <summary>Deletes a user and ends its sessions.</summary>
    /// <exception cref="UserErrorException">There is none of this name, or nobody would be left who may do everything.</exception>
    public Task DeleteAsync(string name, string actor, CancellationToken cancellationToken = default) => _database.InTransactionAsync(
        async transaction =>
        {
            await _database.ExecuteAsync(transaction, "LockUsers", new { }, cancellationToken).ConfigureAwait(false);
            var user = await LockAsync(transaction, name, cancellationToken).ConfigureAwait(false);
            var before = await FindAsync(transaction, user.Name, cancellationToken).ConfigureAwait(false);
            await KeepAdminAsync(transaction, before, cancellationToken).ConfigureAwait(false);
            await _database.ExecuteAsync(transaction, "DeleteUser", new { user.UserId }, cancellationToken).ConfigureAwait(false);
            await WriteAuditAsync(transaction, actor, AuditAction.Delete, before, null, cancellationToken).ConfigureAwait(false);
            return user.UserId;
        },
        cancellationToken);

    /// <summary>Gives a user a new one-time password and ends its sessions.</summary>
    /// <returns>The password, which is stored nowhere.</returns>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<string> ResetPasswordAsync(string name, string actor, CancellationToken cancellationToken = default)
    {
        var password = NewPassword();
        await SetPasswordAsync(name, _ => Hasher.HashPassword(name, password), mustChange: true, null, actor, cancellationToken).ConfigureAwait(false);
        return password;
    }

    /// <summary>Lets a user choose a password; its other sessions end.</summary>
    /// <param name="name">The user.</param>
    /// <param name="current">The password that it has.</param>
    /// <param name="chosen">The new one, from <see cref="LeastPassword"/> to <see cref="MostPassword"/> characters.</param>
    /// <param name="session">The session that goes on.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">The password is wrong, or the new one is too short, too long or the same.</exception>
    public async Task ChangePasswordAsync(string name, string current, string chosen, byte[]? session, CancellationToken cancellationToken = default)
    {
        if (chosen.Length is < LeastPassword or > MostPassword || chosen.Trim().Length < LeastPassword)
        {
            throw new UserErrorException("new_password", "The new password is too short or too long.", $"Use {LeastPassword} to {MostPassword} characters.");
        }

        if (chosen == current || string.Equals(chosen, name, StringComparison.OrdinalIgnoreCase))
        {
            throw new UserErrorException("new_password", "The new password is the old one, or the name.", "Choose another one.");
        }

        await SetPasswordAsync(
            name,
            hash => Matches(hash, current)
                ? Hasher.HashPassword(name, chosen)
                : throw new UserErrorException("current_password", "The current password is wrong.", "Type it again, or ask an administrator for a new one."),
            mustChange: false,
            session,
            name,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The user of a name and password; null when they do not go together. Takes as long either way.</summary>
    public async Task<LoginUser?> LoginAsync(string name, string password, CancellationToken cancellationToken = default)
    {
        var user = password.Length <= MostPassword && NamePattern().IsMatch(name)
            ? await _database.FirstAsync<LoginUser>("FindPassword", new { Name = name }, cancellationToken).ConfigureAwait(false)
            : null;
        var matches = Matches(user?.PasswordHash ?? NobodysHash.Value, password.Length <= MostPassword ? password : "");
        return matches ? user : null;
    }

    internal static UserErrorException Unknown(string name) => new(
        "user", $"There is no user named \"{name}\".", "See `exporter user list`.", reason: UserErrorReason.NotFound);

    private static object ByName(string name) => new { Name = name, After = (string?)null, Limit = 1 };

    private static bool Matches(string hash, string password) =>
        hash.Length > 0 && Hasher.VerifyHashedPassword("", hash, password) != PasswordVerificationResult.Failed;

    private static void CheckName(string name)
    {
        if (!NamePattern().IsMatch(name))
        {
            throw new UserErrorException(
                "name", $"\"{name}\" cannot be a user's name.", "Use 1 to 100 letters, digits, dots, dashes, underscores and @, beginning with a letter or a digit.");
        }
    }

    private static Task WriteAuditAsync(
        NpgsqlTransaction transaction, string actor, AuditAction action, UserView? before, UserView? after, CancellationToken cancellationToken)
    {
        var any = (after ?? before)!;
        return AuditLog.WriteAsync(
            transaction,
            new(
                actor,
                action,
                AuditKind.User,
                any.UserId,
                any.Name,
                null,
                before is null ? null : JsonSerializer.SerializeToNode(before, ExportJson.Options),
                after is null ? null : JsonSerializer.SerializeToNode(after, ExportJson.Options)),
            cancellationToken);
    }

    private async Task<UserView> CreateAsync(
        NpgsqlTransaction transaction, string name, string hash, IReadOnlyList<AccessGrant> grants, string actor, CancellationToken cancellationToken)
    {
        Guid id;
        try
        {
            id = await _database.FirstAsync<Guid>(
                transaction, "InsertUser", new { Name = name, PasswordHash = hash, MustChange = true, Actor = actor }, cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException error) when (error.ConstraintName == "app_user_name")
        {
            throw new UserErrorException("name", $"There is a user named \"{name}\" already.", "Choose another name.", error, reason: UserErrorReason.Conflict);
        }

        await GrantAsync(transaction, id, grants, cancellationToken).ConfigureAwait(false);
        var created = await FindAsync(transaction, name, cancellationToken).ConfigureAwait(false);
        await WriteAuditAsync(transaction, actor, AuditAction.Create, null, created, cancellationToken).ConfigureAwait(false);
        return created;
    }

    private async Task GrantAsync(NpgsqlTransaction transaction, Guid userId, IReadOnlyList<AccessGrant> grants, CancellationToken cancellationToken)
    {
        try
        {
            await _database.ExecuteAsync(
                transaction,
                "InsertGrants",
                new
                {
                    UserId = userId,
                    Projects = grants.Select(grant => grant.Project ?? "").ToArray(),
                    Roles = grants.Select(grant => ExportJson.Word(grant.Role)).ToArray(),
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            throw new UserErrorException("grants", "There is no such project.", "See `exporter project list`.", error);
        }
    }

    private async Task SetPasswordAsync(
        string name, Func<string, string> hash, bool mustChange, byte[]? except, string actor, CancellationToken cancellationToken) =>
        await _database.InTransactionAsync(
            async transaction =>
            {
                var user = await LockAsync(transaction, name, cancellationToken).ConfigureAwait(false);
                await _database.ExecuteAsync(
                    transaction, "SetPassword", new { user.UserId, PasswordHash = hash(user.PasswordHash), MustChange = mustChange }, cancellationToken).ConfigureAwait(false);
                await _database.ExecuteAsync(transaction, "DeleteSessions", new { user.UserId, Except = except }, cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction,
                    new(actor, AuditAction.Update, AuditKind.User, user.UserId, user.Name, null, After: JsonSerializer.SerializeToNode(new { Password = "*** (another)" }, ExportJson.Options)),
                    cancellationToken).ConfigureAwait(false);
                return user.UserId;
            },
            cancellationToken).ConfigureAwait(false);

    private async Task KeepAdminAsync(NpgsqlTransaction transaction, UserView user, CancellationToken cancellationToken)
    {
        if (user.Grants.Contains(Everything) && !await _database.FirstAsync<bool>(transaction, "OtherAdmins", new { user.UserId }, cancellationToken).ConfigureAwait(false))
        {
            throw new UserErrorException(
                "user", $"{user.Name} is the last one who may do everything.", "Make another administrator of all projects first.", reason: UserErrorReason.Conflict);
        }
    }

    private async Task<LoginUser> LockAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken) =>
        await _database.FirstAsync<LoginUser>(transaction, "LockUser", new { Name = name }, cancellationToken).ConfigureAwait(false) ?? throw Unknown(name);

    private async Task<UserView> FindAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken) =>
        (await _database.ViewAsync<UserView>(transaction, "ListUsers", ByName(name), cancellationToken).ConfigureAwait(false))!;

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}\\z")]
    private static partial Regex NamePattern();
}

/// <summary>A user, without its password.</summary>
internal sealed record UserView(
    Guid UserId, string Name, bool MustChangePassword, IReadOnlyList<AccessGrant> Grants, string CreatedBy, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt,
    DateTimeOffset? LastLoginAt);

/// <summary>A user who logs in.</summary>
internal sealed class LoginUser
{
    public required Guid UserId { get; init; }

    public required string Name { get; init; }

    public required string PasswordHash { get; init; }
}

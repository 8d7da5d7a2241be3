using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Sessions of users. The browser holds 256 random bits; the database holds their hash, so a copy of it opens no session.</summary>
internal sealed class SessionStore(NpgsqlDataSource data)
{
    /// <summary>A session that is not used ends after so long.</summary>
    public static readonly TimeSpan Idle = TimeSpan.FromHours(12);

    /// <summary>And every one after so long.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(7);

    private readonly ExportDatabase _database = new(data, "sql/access.sql");

    /// <summary>Begins a session.</summary>
    /// <returns>What its cookie holds.</returns>
    public async Task<string> BeginAsync(Guid userId, CancellationToken cancellationToken)
    {
        var token = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        await _database.ExecuteAsync("DeleteOldSessions", new { Idle, Longest }, cancellationToken).ConfigureAwait(false);
        await _database.ExecuteAsync("InsertSession", new { Hash = HashOf(token), UserId = userId }, cancellationToken).ConfigureAwait(false);
        return token;
    }

    /// <summary>Whose session it is; null when it is none, or has ended.</summary>
    public async Task<SessionUser?> FindAsync(string token, CancellationToken cancellationToken)
    {
        var hash = HashOf(token);
        var user = await _database.ViewAsync<SessionUser>("FindSession", new { Hash = hash, Idle, Longest }, cancellationToken).ConfigureAwait(false);
        if (user is { IsSeen: false })
        {
            await _database.ExecuteAsync("SeeSession", new { Hash = hash }, cancellationToken).ConfigureAwait(false);
        }

        return user;
    }

    /// <summary>Ends a session.</summary>
    public Task EndAsync(string token, CancellationToken cancellationToken) => _database.ExecuteAsync("DeleteSession", new { Hash = HashOf(token) }, cancellationToken);

    /// <summary>What the database has of a token.</summary>
    public static byte[] HashOf(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));

    /// <summary>What a page of ours sends along with a change, and another site's cannot know: it follows from the session's own token.</summary>
    public static string CsrfOf(string token) => Base64Url.EncodeToString(HMACSHA256.HashData(Encoding.UTF8.GetBytes(token), "csrf"u8));
}

/// <summary>Whose session it is.</summary>
internal sealed record SessionUser(string Name, bool MustChangePassword, IReadOnlyList<AccessGrant> Grants, bool IsSeen);

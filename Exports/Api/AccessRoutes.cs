using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Who may: sessions, users and API keys. Passwords and keys are answered once, when they are made.</summary>
internal static class AccessRoutes
{
    private const string ProjectKeys = "/projects/{project}/keys";

    private static readonly ApiParameter<bool> Revoked = Truth("all", "Whether those that were revoked are listed too. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "POST", Path = "/session", Id = "login", Summary = "Log in: begins a session, whose cookie is set. So many logins in a minute are tried, by address and by name.", Need = ApiNeed.Nobody,
            Body = typeof(LoginOrder), Answer = typeof(SessionAnswer), Does = LoginAsync,
        },
        new()
        {
            Method = "GET", Path = "/session", Id = "get_session", Summary = "Who asks, what they may do, and the token that a browser's changes send along.", Need = ApiNeed.Known,
            Answer = typeof(SessionAnswer), BeforePasswordChange = true,
            Does = (request, _) => Task.FromResult(ApiAnswer.Ok(new SessionAnswer(
                request.Caller.Name,
                request.Caller.Grants,
                request.Known!.MustChangePassword,
                request.Known.Session is { } token ? SessionStore.CsrfOf(token) : null))),
        },
        new()
        {
            Method = "DELETE", Path = "/session", Id = "logout", Summary = "Log out.", Need = ApiNeed.Known, Status = 204, BeforePasswordChange = true,
            Does = async (request, cancellationToken) =>
            {
                if (request.Known!.Session is { } token)
                {
                    await request.Services.Sessions.EndAsync(token, cancellationToken).ConfigureAwait(false);
                    ApiCallers.ClearCookie(request.Http);
                }

                return ApiAnswer.Done;
            },
        },
        new()
        {
            Method = "POST", Path = "/session/password", Id = "change_password", Summary = "Choose a password of one's own; other sessions end.", Need = ApiNeed.Known,
            Body = typeof(PasswordOrder), Status = 204, BeforePasswordChange = true, ShowsSecret = true,
            Does = async (request, cancellationToken) =>
            {
                var token = request.Known!.Session ?? throw new UserErrorException("session", "Only who is logged in has a password.", "Log in first.");
                var order = request.Body<PasswordOrder>();
                request.Limiter.Demand(request.Http, request.Caller.Name);
                await request.Services.Users.ChangePasswordAsync(
                    request.Caller.Name, order.CurrentPassword, order.NewPassword, SessionStore.HashOf(token), cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
        new()
        {
            Method = "GET", Path = "/users", Id = "list_users", Summary = "List users, by name.", Need = ApiNeed.InAll(AccessRole.Admin), Takes = [Limit, Cursor], Answer = typeof(ApiPage<UserView>),
            Does = async (request, cancellationToken) =>
            {
                var users = await request.Services.Users.ListAsync(request.Cursor<ApiCursor.Named>()?.Name, request.Limit + 1, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(users, request.Limit, user => ApiCursor.Of(new ApiCursor.Named(user.Name)));
            },
        },
        new()
        {
            Method = "POST", Path = "/users", Id = "create_user", Summary = "Add a user; the one-time password is answered once.", Need = ApiNeed.InAll(AccessRole.Admin),
            Body = typeof(UserOrder), Answer = typeof(CreatedUser), Status = 201, ShowsSecret = true,
            Does = async (request, cancellationToken) =>
            {
                var order = request.Body<UserOrder>();
                var (user, password) = await request.Services.Users.CreateAsync(order.Name, order.Grants, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Created(new CreatedUser(user, password), request.Url($"/users/{user.Name}"));
            },
        },
        new()
        {
            Method = "GET", Path = "/users/{name}", Id = "get_user", Summary = "A user.", Need = ApiNeed.InAll(AccessRole.Admin), Answer = typeof(UserView), Matches = true,
            Does = async (request, cancellationToken) =>
            {
                var user = await request.Services.Users.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(user, user.UpdatedAt);
            },
        },
        new()
        {
            Method = "PATCH", Path = "/users/{name}", Id = "edit_user", Summary = "Give a user other roles; the list takes the place of the old one, at once.", Need = ApiNeed.InAll(AccessRole.Admin),
            Body = typeof(UserPatch), Answer = typeof(UserView), Matches = true,
            Does = async (request, cancellationToken) =>
            {
                var user = await request.Services.Users.SetGrantsAsync(
                    request.Name, request.Body<UserPatch>().Grants, request.IfMatch, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(user, user.UpdatedAt);
            },
        },
        new()
        {
            Method = "DELETE", Path = "/users/{name}", Id = "delete_user", Summary = "Delete a user and end its sessions; API keys that it made stay.", Need = ApiNeed.InAll(AccessRole.Admin), Status = 204,
            Does = async (request, cancellationToken) =>
            {
                await request.Services.Users.DeleteAsync(request.Name, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
        new()
        {
            Method = "POST", Path = "/users/{name}/password", Id = "reset_password", Summary = "Give a user a new one-time password, which is answered once; its sessions end.", Need = ApiNeed.InAll(AccessRole.Admin),
            Answer = typeof(OneTimePassword), ShowsSecret = true,
            Does = async (request, cancellationToken) =>
                ApiAnswer.Ok(new OneTimePassword(await request.Services.Users.ResetPasswordAsync(request.Name, request.Actor, cancellationToken).ConfigureAwait(false))),
        },
        .. Keys("/keys", ApiNeed.InAll(AccessRole.Admin), "", _ => null),
        .. Keys(ProjectKeys, ApiNeed.InProject(AccessRole.Admin), "project_", request => request.Project),
    ];

    private static IEnumerable<ApiOperation> Keys(string path, ApiNeed need, string prefix, Func<ApiRequest, string?> projectOf) =>
    [
        new()
        {
            Method = "GET", Path = path, Id = $"list_{prefix}keys", Summary = "List API keys, the newest first, without the keys themselves.", Need = need, Takes = [Revoked, Limit, Cursor], Answer = typeof(ApiPage<ApiKeyView>),
            Does = async (request, cancellationToken) =>
            {
                var keys = await request.Services.Keys.ListAsync(
                    projectOf(request), request.Get(Revoked), request.Cursor<ListPlace>(), request.Limit + 1, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(keys, request.Limit, key => ApiCursor.Of(new ListPlace(key.CreatedAt, key.KeyId)));
            },
        },
        new()
        {
            Method = "POST", Path = path, Id = $"create_{prefix}key", Summary = "Make an API key, which is answered once.", Need = need, Body = typeof(KeyOrder), Answer = typeof(CreatedKey), Status = 201, ShowsSecret = true,
            Does = async (request, cancellationToken) =>
            {
                var order = request.Body<KeyOrder>();
                if (projectOf(request) is { } project && order.Project is not null && order.Project != project)
                {
                    throw new UserErrorException("project", "The key would be of another project than the path says.", "Leave it out, or use the path of that project.");
                }

                var (key, secret) = await request.Services.Keys.CreateAsync(
                    order.Name, new AccessGrant(projectOf(request) ?? order.Project, order.Role), order.ExpiresAt, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Created(new CreatedKey(key, secret), request.Url($"{path.Replace("{project}", projectOf(request), StringComparison.Ordinal)}/{key.KeyId}"));
            },
        },
        new()
        {
            Method = "DELETE", Path = path + "/{id}", Id = $"revoke_{prefix}key", Summary = "Revoke an API key, at once.", Need = need, Status = 204,
            Does = async (request, cancellationToken) =>
            {
                await request.Services.Keys.RevokeAsync(request.Id, projectOf(request), request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
    ];

    private static async Task<ApiAnswer> LoginAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var order = request.Body<LoginOrder>();

        // Before the password is looked at: whoever guesses learns nothing, and hashing costs.
        request.Limiter.Demand(request.Http, order.Name);
        var user = await request.Services.Users.LoginAsync(order.Name, order.Password, cancellationToken).ConfigureAwait(false)
            ?? throw new ApiProblemException(new(StatusCodes.Status401Unauthorized, "Not logged in", "Name and password do not go together.", "password", "Type them again, or ask an administrator for a new password."));
        var token = await request.Services.Sessions.BeginAsync(user.UserId, cancellationToken).ConfigureAwait(false);
        var session = await request.Services.Sessions.FindAsync(token, cancellationToken).ConfigureAwait(false)
            ?? throw new ApiProblemException(ApiProblem.Unknown);
        ApiCallers.SetCookie(request.Http, token);
        return ApiAnswer.Ok(new SessionAnswer(session.Name, session.Grants, session.MustChangePassword, SessionStore.CsrfOf(token)));
    }
}

/// <summary>Who logs in.</summary>
internal sealed record LoginOrder
{
    public required string Name { get; init; }

    public required string Password { get; init; }
}

/// <summary>A password in place of another.</summary>
internal sealed record PasswordOrder
{
    public required string CurrentPassword { get; init; }

    public required string NewPassword { get; init; }
}

/// <summary>Who asks. <paramref name="CsrfToken"/>: what a browser's changes send as X-CSRF-Token; null without a session.</summary>
internal sealed record SessionAnswer(string Name, IReadOnlyList<AccessGrant> Grants, bool MustChangePassword, string? CsrfToken);

/// <summary>A user who is to be added.</summary>
internal sealed record UserOrder
{
    public required string Name { get; init; }

    public IReadOnlyList<AccessGrant> Grants { get; init; } = [];
}

/// <summary>Roles that a user is to have.</summary>
internal sealed record UserPatch
{
    public required IReadOnlyList<AccessGrant> Grants { get; init; }
}

/// <summary>A user who was added, and the password for the first login.</summary>
internal sealed record CreatedUser(UserView User, string OneTimePassword);

/// <summary>A password for the next login.</summary>
internal sealed record OneTimePassword(string Password);

/// <summary>A key that is to be made; without project it is for all of them.</summary>
internal sealed record KeyOrder
{
    public required string Name { get; init; }

    public required AccessRole Role { get; init; }

    public string? Project { get; init; }

    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>A key that was made, and its secret.</summary>
internal sealed record CreatedKey(ApiKeyView Key, string Secret);

using System.Text.Json.Nodes;
using Exporter.Exports.Api;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>Who may: keys, users, sessions, and how often a password may be tried.</summary>
internal sealed class AccessTests
{
    private const string Own = "correct horse battery staple";

    [Test]
    public async Task A_key_is_shown_once_stored_as_a_hash_and_ends_when_it_expires_or_is_revoked()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin, project: null);
        var made = (await admin.PostAsync("keys", new JsonObject { ["name"] = "ci", ["role"] = "viewer", ["project"] = "default" })).Json;
        var secret = (string)made["secret"]!;
        Assert.That(secret, Does.StartWith("exk_").And.Length.EqualTo(47));
        var viewer = server.Of(secret);
        Assert.That((string?)(await viewer.GetAsync("session")).Json["name"], Is.EqualTo("key:ci"));
        (await viewer.GetAsync("keys")).Problem(403);
        (await viewer.PostAsync("projects/default/exports/x/pause")).Problem(403);

        var listed = (await admin.GetAsync("keys?all=true")).Body;
        Assert.That(listed, Does.Contain("\"last_used_at\":\"2").And.Not.Contain(secret));
        var stored = await server.Database.ScalarAsync<string>("select string_agg(k::text, ' ') from exports.api_key k");
        var requests = await server.Database.ScalarAsync<string>("select coalesce(string_agg(r::text, ' '), '') from exports.request r");
        Assert.That(stored + requests, Does.Not.Contain(secret[8..]));

        Assert.That((await admin.DeleteAsync($"keys/{made["key"]!["key_id"]}")).Status, Is.EqualTo(204));
        (await viewer.GetAsync("session")).Problem(401);
        (await admin.DeleteAsync($"keys/{made["key"]!["key_id"]}")).Problem(404);

        var (late, lateSecret) = await server.Keys.CreateAsync("late", new AccessGrant(null, AccessRole.Viewer), new DateTimeOffset(2400, 1, 1, 0, 0, 0, TimeSpan.Zero), "tester");
        Assert.That((await server.Of(lateSecret).GetAsync("session")).Status, Is.EqualTo(200));
        await server.Database.ExecuteAsync("update exports.api_key set created_at = created_at - interval '2 hours', expires_at = engine.clock() - interval '1 hour' where key_id = @KeyId", late);
        (await server.Of(lateSecret).GetAsync("session")).Problem(401);
        (await admin.PostAsync("keys", new JsonObject { ["name"] = "old", ["role"] = "viewer", ["expires_at"] = "2020-01-01T00:00:00Z" })).Problem(400);
        (await server.Of("exk_wrong").GetAsync("session")).Problem(401);
        (await server.Of(null).GetAsync("session")).Problem(401);
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task A_user_changes_the_one_time_password_first_and_then_may_what_its_roles_say()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin, project: null);
        var made = (await admin.PostAsync("users", new JsonObject
        {
            ["name"] = "ann", ["grants"] = new JsonArray(new JsonObject { ["project"] = "default", ["role"] = "viewer" }),
        })).Json;
        var once = (string)made["one_time_password"]!;
        var session = await Session.LoginAsync(server, "ann", once);
        Assert.That((bool)session.Answer["must_change_password"]!, Is.True);
        (await session.GetAsync("projects/default/exports")).Problem(403);
        (await session.PostAsync("session/password", Passwords(once, "short"))).Problem(400);
        (await session.PostAsync("session/password", Passwords("wrong", Own))).Problem(400);
        Assert.That((await session.PostAsync("session/password", Passwords(once, Own))).Status, Is.EqualTo(204));
        Assert.That((await session.GetAsync("projects/default/exports")).Status, Is.EqualTo(200));
        (await session.PostAsync("projects/default/exports/x/pause")).Problem(403);
        (await server.Of(null).PostAsync("session", Login("ann", once))).Problem(401);

        // Roles that are given hold at once; a new password of somebody else's making ends the session.
        (await admin.PatchAsync("users/ann", new JsonObject { ["grants"] = new JsonArray(new JsonObject { ["project"] = null, ["role"] = "operator" }) })).Json.ToJsonString();
        (await session.PostAsync("projects/default/exports/x/pause")).Problem(404);
        Assert.That((string?)(await admin.PostAsync("users/ann/password")).Json["password"], Is.Not.Null.And.Not.EqualTo(once));
        (await session.GetAsync("session")).Problem(401);
        Assert.That((await admin.DeleteAsync("users/ann")).Status, Is.EqualTo(204));
        Assert.That((await admin.GetAsync("users")).Json["items"]!.AsArray(), Is.Empty);
        var stored = await server.Database.ScalarAsync<string>("select string_agg(u::text, ' ') from exports.app_user u") + (await admin.GetAsync("audit")).Body;
        Assert.That(stored, Does.Not.Contain(once).And.Not.Contain(Own));
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task A_session_is_a_cookie_that_no_script_reads_and_its_changes_need_the_token_that_no_other_site_has()
    {
        await using var server = await ApiServer.StartAsync();
        var (_, once) = await server.Users.CreateAsync("ann", [new AccessGrant(null, AccessRole.Admin)], "tester");
        var session = await Session.LoginAsync(server, "ann", once);
        Assert.That(session.Cookie, Does.Contain("httponly").IgnoreCase.And.Contain("samesite=lax").IgnoreCase.And.Contain("path=/").IgnoreCase);
        await session.PostAsync("session/password", Passwords(once, Own));
        var forged = session with { Csrf = null };
        (await forged.PostAsync("projects", new JsonObject { ["name"] = "p1" })).Problem(403);
        (await (session with { Csrf = session.Csrf![1..] }).PostAsync("projects", new JsonObject { ["name"] = "p1" })).Problem(403);
        Assert.That((await session.PostAsync("projects", new JsonObject { ["name"] = "p1" })).Status, Is.EqualTo(201));
        var stored = await server.Database.ScalarAsync<string>("select string_agg(encode(session_hash, 'escape'), ' ') from exports.user_session");
        Assert.That(stored, Does.Not.Contain(session.Cookie.Split('=', 2)[1].Split(';')[0]));
        Assert.That((await session.SendAsync("DELETE", "session")).Status, Is.EqualTo(204));
        (await session.GetAsync("session")).Problem(401);

        // Who is deleted, or has been idle for too long, is out.
        var again = await Session.LoginAsync(server, "ANN", Own);
        await server.Database.ExecuteAsync("update exports.user_session set seen_at = engine.clock() - interval '13 hours'");
        (await again.GetAsync("session")).Problem(401);
    }

    [Test]
    public async Task The_last_administrator_stays()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin, project: null);
        Assert.That(await server.Users.CreateFirstAsync("admin", "exporter", default), Is.Not.Null);
        Assert.That(await server.Users.CreateFirstAsync("admin", "exporter", default), Is.Null, "there is one");
        (await admin.DeleteAsync("users/admin")).Problem(409);
        (await admin.PatchAsync("users/admin", new JsonObject { ["grants"] = new JsonArray() })).Problem(409);
        var first = await admin.GetAsync("users/admin");
        await server.Users.CreateAsync("bob", [new AccessGrant(null, AccessRole.Admin)], "tester");
        var roles = new JsonObject { ["grants"] = new JsonArray(new JsonObject { ["role"] = "viewer", ["project"] = "default" }) };
        Assert.That((await admin.PatchAsync("users/admin", roles.DeepClone(), first.ETag)).Status, Is.EqualTo(200));
        (await admin.PatchAsync("users/admin", roles, first.ETag)).Problem(412);
        (await admin.PostAsync("users", new JsonObject { ["name"] = "BOB" })).Problem(409);
        (await admin.PostAsync("users", new JsonObject { ["name"] = "eve", ["grants"] = new JsonArray(new JsonObject { ["role"] = "viewer", ["project"] = "nowhere" }) })).Problem(400);
    }

    [Test]
    public async Task Passwords_cannot_be_tried_without_end()
    {
        await using var server = await ApiServer.StartAsync(api: new BatchExportsApiOptions { LoginsPerName = 3, LoginsPerAddress = 5 });
        var nobody = server.Of(null);
        for (var i = 0; i < 3; i++)
        {
            (await nobody.PostAsync("session", Login("ann", $"guess {i}"))).Problem(401);
        }

        var refused = await nobody.PostAsync("session", Login("Ann", "guess"));
        refused.Problem(429);
        Assert.That(refused.RetryAfter, Is.GreaterThan(TimeSpan.Zero));
        (await nobody.PostAsync("session", Login("bob", "guess"))).Problem(401);
        (await nobody.PostAsync("session", Login("eve", "guess"))).Problem(429);
    }

    private static JsonObject Login(string name, string password) => new() { ["name"] = name, ["password"] = password };

    private static JsonObject Passwords(string current, string chosen) => new() { ["current_password"] = current, ["new_password"] = chosen };

    /// <summary>A browser that is logged in.</summary>
    private sealed record Session(ApiClient Client, string Cookie, string? Csrf, JsonNode Answer)
    {
        public static async Task<Session> LoginAsync(ApiServer server, string name, string password)
        {
            var client = server.Of(null);
            var answer = await client.PostAsync("session", Login(name, password));
            return new Session(client, answer.Cookie!, (string?)answer.Json["csrf_token"], answer.Json);
        }

        public Task<ApiResult> GetAsync(string path) => SendAsync("GET", path);

        public Task<ApiResult> PostAsync(string path, JsonNode? body = null) => SendAsync("POST", path, body);

        public Task<ApiResult> SendAsync(string method, string path, JsonNode? body = null) => Client.SendAsync(method, path, body, request =>
        {
            request.Headers.Add("Cookie", Cookie.Split(';')[0]);
            if (Csrf is not null)
            {
                request.Headers.Add("X-CSRF-Token", Csrf);
            }
        });
    }
}

using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>The OpenAPI document as it is served, walked: whatever is sent to whatever it has, nothing breaks, and no secret and nothing of another project comes out.</summary>
internal sealed class HostileRequestTests
{
    private static readonly string?[] Hostile =
    [
        null, "", " ", "'", "\"'; drop table exports.run; --", "a\0b", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "{{7*7}}", "<script>", "\ud83d\ude00", "\ud800", "-1",
        "99999999999999999999999999", "1e400", "NaN", "true", "[]", "{}", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "default", ServedApi.OthersMark, Long,
    ];

    private static readonly string?[] HostileJson =
    [
        "null", "0", "-1", "1e400", "99999999999999999999999999", "true", "\"\"", "\"a\\u0000b\"", "\"\\ud800\"", "\"'; drop table exports.run; --\"", "[]", "[null]", "[[[[]]]]", "{}",
        "{\"\":1}", "{\"a\":null}", "\"0001-01-01T00:00:00Z\"", "\"9999-12-31T23:59:59.9999999Z\"", "\"36500d\"", "\"0s\"",
    ];

    private static string Long { get; } = new('x', 100_000);

    [Test]
    public async Task Whatever_is_sent_nothing_breaks_and_nothing_comes_out_that_is_not_for_who_asks()
    {
        await using var server = await ApiServer.StartAsync();
        await ServedApi.FillAsync(server);
        var (own, everywhere) = (await server.WithKeyAsync(AccessRole.Admin), await server.WithKeyAsync(AccessRole.Admin, project: null));
        var document = (await own.GetAsync("openapi.json")).Json;
        var random = new Random(7);
        var (sent, accepted, wrong) = (0, 0, new List<string>());

        // What is deleted is deleted last.
        foreach (var (path, method, operation) in ServedApi.Operations(document).OrderBy(one => one.Method == "DELETE"))
        {
            var inProject = path.StartsWith("projects/{project}/", StringComparison.Ordinal);
            // Most requests are right but for one thing, so that they come as far as they can.
            foreach (var request in Requests(document, path, operation, random))
            {
                var answer = await SendAsync(inProject ? own : everywhere, method, request);
                sent++;
                accepted += answer.Status < 300 ? 1 : 0;
                var said = $"{method} {request.Path[..Math.Min(300, request.Path.Length)]} {request.Body?[..Math.Min(300, request.Body.Length)]}";
                wrong.AddRange(Wrong(answer, inProject).Select(what => $"{what}: {said}: {answer.Body[..Math.Min(300, answer.Body.Length)]}"));
            }
        }

        await TestContext.Out.WriteLineAsync($"{sent} requests, {accepted} of them done");
        Assert.That(string.Join('\n', wrong.Take(20)), Is.Empty);
        Assert.That(string.Join('\n', server.Wrong().Take(10)), Is.Empty);
        Assert.That((sent, accepted), Is.GreaterThan((1_000, 20)));
        Assert.That(await server.Database.ScalarAsync<string>("select name from exports.batch_export where project = 'others'"), Is.EqualTo(ServedApi.OthersMark + "-export"));
    }

    private static IEnumerable<string> Wrong(ApiResult answer, bool inProject)
    {
        if (answer.Status >= 500)
        {
            yield return "it broke";
        }

        if (answer.Body.Contains(ServedApi.Secret, StringComparison.Ordinal))
        {
            yield return "a secret came out";
        }

        if (inProject && answer.Body.Contains(ServedApi.OthersMark + "-export", StringComparison.Ordinal))
        {
            yield return "another project's came out";
        }

        // The server itself answers what is no HTTP, without a body.
        if (answer is { Status: >= 400, Body.Length: > 0 } && (answer.Type != "application/problem+json" || (int?)JsonNode.Parse(answer.Body)!["status"] != answer.Status))
        {
            yield return "no problem document";
        }
    }

    private static IEnumerable<HostileRequest> Requests(JsonNode document, string path, JsonObject operation, Random random)
    {
        var parameters = operation["parameters"]?.AsArray().Where(one => (string?)one!["in"] == "query").Select(one => (string)one!["name"]!).ToList() ?? [];
        var body = operation["requestBody"]?["content"]?["application/json"]?["schema"];
        var right = body is null ? null : Right(document, body, whole: false);
        var good = Fill(path, "hourly", Guid.Empty.ToString());

        // No source and no bucket is there to be asked.
        var skip = parameters.Find(one => one.StartsWith("skip_", StringComparison.Ordinal)) is { } skipping ? $"?{skipping}=true" : "";
        yield return new HostileRequest(good + skip, right?.ToJsonString());

        // The path.
        foreach (var value in Hostile.Where(value => !string.IsNullOrWhiteSpace(value)))
        {
            var text = Uri.EscapeDataString((value!.Length > 6_000 ? value[..6_000] : value).Replace("\ud800", "%ED%A0%80", StringComparison.Ordinal));
            if (path.Contains("{name}", StringComparison.Ordinal) || path.Contains("{id}", StringComparison.Ordinal))
            {
                yield return new HostileRequest(Fill(path, text, text), right?.ToJsonString());
            }
        }

        // The query.
        foreach (var name in parameters)
        {
            foreach (var value in Hostile.Where(value => value is not null).OrderBy(_ => random.Next()).Take(6))
            {
                var text = value!.Length > 6_000 ? value[..6_000] : value;
                yield return new HostileRequest($"{good}?{name}={Uri.EscapeDataString(text.Replace("\ud800", "", StringComparison.Ordinal))}", right?.ToJsonString());
            }
        }

        // The body: no JSON, too much, and each of its values another one.
        if (right is null)
        {
            yield return new HostileRequest(good, "{}");
            yield break;
        }

        foreach (var text in new[] { "", "{", "null", "[]", "\"\"", "{\"a\":{}}", "\ufeff{}", new string('[', 500), $"{{\"name\":\"{Long}\"}}" })
        {
            yield return new HostileRequest(good, text);
        }

        foreach (var start in new[] { right, Right(document, body!, whole: true) })
        {
            foreach (var place in Places(start).ToList())
            {
                foreach (var value in HostileJson.OrderBy(_ => random.Next()).Take(3).Concat(random.Next(6) == 0 ? [$"\"{Long}\""] : []))
                {
                    yield return new HostileRequest(good + skip, With(start!, place, value!));
                }
            }
        }
    }

    private static string Fill(string path, string name, string id) =>
        path.Replace("{project}", "default", StringComparison.Ordinal).Replace("{name}", name, StringComparison.Ordinal).Replace("{id}", id, StringComparison.Ordinal);

    // A body as the document says it: what has to be there, or all that may.
    private static JsonNode? Right(JsonNode document, JsonNode schema, bool whole, int depth = 0)
    {
        if (schema is not JsonObject || depth > 12)
        {
            return null;
        }

        if ((string?)schema["$ref"] is { } reference)
        {
            return Right(document, document["components"]!["schemas"]![reference["#/components/schemas/".Length..]]!, whole, depth + 1);
        }

        if (schema["oneOf"] is JsonArray any)
        {
            return Right(document, any[0]!, whole, depth + 1);
        }

        if (schema["enum"] is JsonArray words)
        {
            return words[0]?.DeepClone();
        }

        return (schema["type"] is JsonArray types ? (string?)types[0] : (string?)schema["type"]) switch
        {
            "object" => Object(document, schema, whole, depth),
            "array" => whole && schema["items"] is { } items ? new JsonArray(Right(document, items, whole, depth + 1)) : [],
            "integer" or "number" => JsonValue.Create(2),
            "boolean" => JsonValue.Create(false),
            _ when (string?)schema["format"] == "date-time" => JsonValue.Create("2026-03-01T00:00:00Z"),
            _ when schema["pattern"] is not null => JsonValue.Create("1h"),
            _ => JsonValue.Create("text"),
        };
    }

    private static JsonObject Object(JsonNode document, JsonNode schema, bool whole, int depth)
    {
        var properties = schema["properties"]?.AsObject() ?? [];
        var required = schema["required"]?.AsArray().Select(name => (string)name!).ToHashSet() ?? [];
        var destination = properties.ContainsKey("kind") || properties.ContainsKey("rows_were_moved");
        var made = new JsonObject();
        foreach (var (name, its) in properties)
        {
            // What has to fit to something else is given so that the request is one that could be done.
            JsonNode? known = name switch
            {
                "export" => "hourly",
                "destination" => "bucket",
                "kind" => "s3",
                "settings" when destination => new JsonObject { ["bucket"] = "b", ["region"] = "r" },
                "secrets" => new JsonObject { ["access_key"] = "its-access", ["secret_key"] = "its-secret" },
                "table" => "events",
                "cursor_column" => "at",
                "every" => "1h",
                "end" or "from" => "2026-03-01T02:00:00Z",
                _ => null,
            };
            if (known is not null || (name is not ("earlier" or "first_after" or "cron" or "calendar" or "query" or "time_zone") && (whole || required.Contains(name))))
            {
                made[name] = known ?? Right(document, its!, whole, depth + 1);
            }
        }

        return made;
    }

    private static IEnumerable<string[]> Places(JsonNode? node, params string[] place) => node switch
    {
        JsonObject map => map.SelectMany(pair => Places(pair.Value, [.. place, pair.Key])).Prepend(place),
        JsonArray list => list.SelectMany((item, index) => Places(item, [.. place, index.ToString(CultureInfo.InvariantCulture)])).Prepend(place),
        _ => [place],
    };

    // The text with another value at a place: it may be none that a number or a text of .NET can hold.
    private static string With(JsonNode root, string[] place, string value)
    {
        if (place.Length == 0)
        {
            return value;
        }

        const string Mark = "0f3c-mark";
        var copy = root.DeepClone();
        var parent = copy;
        foreach (var step in place[..^1])
        {
            parent = parent is JsonArray list ? list[int.Parse(step, CultureInfo.InvariantCulture)]! : parent[step]!;
        }

        if (parent is JsonArray items)
        {
            items[int.Parse(place[^1], CultureInfo.InvariantCulture)] = Mark;
        }
        else
        {
            parent[place[^1]] = Mark;
        }

        return copy.ToJsonString().Replace($"\"{Mark}\"", value, StringComparison.Ordinal);
    }

    private static Task<ApiResult> SendAsync(ApiClient client, string method, HostileRequest request) =>
        client.SendAsync(method, request.Path, request.Body is null ? null : new StringContent(request.Body, Encoding.UTF8, "application/json"), null);

    private sealed record HostileRequest(string Path, string? Body);
}

using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;

namespace Exporter.Exports.Api;

/// <summary>The OpenAPI document, made from the route table and the records that come and go: it cannot say anything else than what is done.</summary>
internal sealed class OpenApiDocument
{
    private const string Schemas = "#/components/schemas/";

    private readonly SortedDictionary<string, JsonNode?> _schemas = new(StringComparer.Ordinal);

    private OpenApiDocument()
    {
    }

    /// <summary>Makes it.</summary>
    /// <param name="server">Where the API is, as clients see it.</param>
    public static JsonObject Make(string server)
    {
        var document = new OpenApiDocument();
        var paths = new JsonObject();
        foreach (var path in ApiRoutes.All.GroupBy(operation => operation.Path))
        {
            var item = new JsonObject { ["parameters"] = PathParameters(path.Key) };
            foreach (var operation in path)
            {
                item[operation.Method.ToLowerInvariant()] = document.Operation(operation);
            }

            paths[path.Key] = item;
        }

        document._schemas["Problem"] = Problem();
        return new JsonObject
        {
            ["openapi"] = "3.1.1",
            ["info"] = new JsonObject
            {
                ["title"] = "Exporter",
                ["version"] = "1",
                ["description"] = "Batch exports from ClickHouse: configure, run, repair and look at them. Errors are problem details (RFC 9457), with the setting to change and what to do.",
                ["license"] = new JsonObject { ["name"] = "Apache-2.0", ["identifier"] = "Apache-2.0" },
            },
            ["servers"] = new JsonArray(new JsonObject { ["url"] = server }),
            ["security"] = new JsonArray(new JsonObject { ["key"] = new JsonArray() }, new JsonObject { ["session"] = new JsonArray() }),
            ["paths"] = paths,
            ["components"] = new JsonObject
            {
                ["securitySchemes"] = new JsonObject
                {
                    ["key"] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer", ["description"] = "An API key: Authorization: Bearer exk_..." },
                    ["session"] = new JsonObject
                    {
                        ["type"] = "apiKey", ["in"] = "cookie", ["name"] = "exporter_session",
                        ["description"] = $"A browser's session, over TLS as __Host-exporter_session; changes send {ApiCallers.CsrfHeader} too.",
                    },
                },
                ["schemas"] = new JsonObject(document._schemas.Select(pair => KeyValuePair.Create(pair.Key, pair.Value))),
            },
        };
    }

    private static JsonArray PathParameters(string path) => new([.. path.Split('/').Where(part => part.StartsWith('{')).Select(part => part.Trim('{', '}')).Select(name => new JsonObject
    {
        ["name"] = name,
        ["in"] = "path",
        ["required"] = true,
        ["schema"] = name == "id" ? new JsonObject { ["type"] = "string", ["format"] = "uuid" } : new JsonObject { ["type"] = "string" },
    })]);

    private JsonObject Operation(ApiOperation operation)
    {
        var described = new JsonObject
        {
            ["operationId"] = operation.Id,
            ["tags"] = new JsonArray(operation.Group),
            ["summary"] = operation.Summary,
            ["description"] = operation.Need.ToString(),
        };
        if (operation.Need.Kind == ApiScope.Nobody)
        {
            described["security"] = new JsonArray();
        }

        var parameters = new JsonArray([.. operation.Takes.Select(parameter => new JsonObject
        {
            ["name"] = parameter.Name, ["in"] = "query", ["description"] = parameter.Description, ["schema"] = parameter.Schema(),
        })]);
        if (operation.Method == "POST" && operation.Need.Kind != ApiScope.Nobody)
        {
            parameters.Add(Header("Idempotency-Key", "Asked twice under one key it is done once, and answered the same; remembered for a day."));
        }

        if (operation is { Matches: true, Method: not "GET" })
        {
            parameters.Add(Header("If-Match", "The ETag of the version that was read; 412 when somebody has changed it since."));
        }

        if (parameters.Count > 0)
        {
            described["parameters"] = parameters;
        }

        if (operation.Body is { } body)
        {
            described["requestBody"] = new JsonObject
            {
                ["required"] = !operation.BodyIsOptional,
                ["content"] = new JsonObject(ApiRoutes.BodyTypes(operation).Select(type => KeyValuePair.Create(type, (JsonNode?)new JsonObject { ["schema"] = Schema(body) }))),
            };
        }

        described["responses"] = new JsonObject
        {
            [operation.Status.ToString(System.Globalization.CultureInfo.InvariantCulture)] = operation.Answer is { } answer
                ? new JsonObject { ["description"] = "Done.", ["content"] = new JsonObject { [operation.AnswerType] = new JsonObject { ["schema"] = Schema(answer) } } }
                : new JsonObject { ["description"] = "Done." },
            ["default"] = new JsonObject
            {
                ["description"] = "Why not.",
                ["content"] = new JsonObject { [ApiProblem.MediaType] = new JsonObject { ["schema"] = new JsonObject { ["$ref"] = Schemas + "Problem" } } },
            },
        };
        return described;
    }

    private static JsonObject Header(string name, string description) => new()
    {
        ["name"] = name, ["in"] = "header", ["description"] = description, ["schema"] = new JsonObject { ["type"] = "string" },
    };

    private JsonNode Schema(Type type)
    {
        if (!IsOurs(type))
        {
            return new JsonObject { ["type"] = "object" };
        }

        var name = NameOf(type);
        if (_schemas.TryAdd(name, null))
        {
            _schemas[name] = ApiBody.Strict.GetJsonSchemaAsNode(type, new JsonSchemaExporterOptions
            {
                TreatNullObliviousAsNonNullable = true,
                TransformSchemaNode = (context, schema) => Transform(context, schema, type, context.Path.Length == 0),
            });
        }

        return new JsonObject { ["$ref"] = Schemas + name };
    }

    private JsonNode Transform(JsonSchemaExporterContext context, JsonNode schema, Type root, bool isRoot)
    {
        var type = Nullable.GetUnderlyingType(context.TypeInfo.Type) ?? context.TypeInfo.Type;
        if (schema is not JsonObject node)
        {
            return schema;
        }

        if (type == typeof(TimeSpan))
        {
            node["type"] = IsNullable(context.TypeInfo.Type) ? new JsonArray("string", "null") : "string";
            node["pattern"] = "^[0-9]+[smhdw]$";
        }

        if (context.TypeInfo.Kind != JsonTypeInfoKind.Object || !IsOurs(type))
        {
            return node;
        }

        if (isRoot)
        {
            node["type"] = "object";
            return node;
        }

        // Whatever is ours stands once, under its own name; a type within itself as well.
        var reference = type == root ? new JsonObject { ["$ref"] = Schemas + NameOf(type) } : Schema(type);
        return node["type"] is JsonArray || type == root ? new JsonObject { ["oneOf"] = new JsonArray(reference, new JsonObject { ["type"] = "null" }) } : reference;
    }

    private static bool IsNullable(Type type) => Nullable.GetUnderlyingType(type) is not null;

    private static bool IsOurs(Type type) => type.Namespace?.StartsWith("Exporter.", StringComparison.Ordinal) == true && !type.IsEnum;

    private static string NameOf(Type type) => type.IsGenericType ? NameOf(type.GetGenericArguments()[0]) + "Page" : type.Name;

    private static JsonObject Problem() => new()
    {
        ["type"] = "object",
        ["required"] = new JsonArray("title", "status"),
        ["properties"] = new JsonObject
        {
            ["type"] = Text("about:blank."),
            ["title"] = Text("What kind of problem it is."),
            ["status"] = new JsonObject { ["type"] = "integer" },
            ["detail"] = Text("What is wrong."),
            ["setting"] = Text("The setting or parameter to change."),
            ["advice"] = Text("What to do."),
            ["subject_kind"] = Text("Of a request that was done before, and whose answer is not there: what it made or changed."),
            ["subject_id"] = Text("Its id."),
        },
    };

    private static JsonObject Text(string description) => new() { ["type"] = "string", ["description"] = description };
}

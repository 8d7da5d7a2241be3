using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>The JSON schema of a configuration file, made from the records and kinds themselves.</summary>
internal static class ConfigurationSchema
{
    /// <summary>Makes it.</summary>
    public static JsonObject Make() => new()
    {
        ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
        ["title"] = "Destinations and batch exports",
        ["type"] = "object",
        ["additionalProperties"] = false,
        ["properties"] = new JsonObject
        {
            ["destinations"] = new JsonObject { ["type"] = "array", ["items"] = new JsonObject { ["oneOf"] = new JsonArray([.. DestinationKinds.All.Select(Kind)]) } },
            ["exports"] = new JsonObject { ["type"] = "array", ["items"] = Export() },
        },
    };

    private static JsonObject Kind(DestinationKind kind)
    {
        var properties = new JsonObject
        {
            ["name"] = new JsonObject { ["type"] = "string" },
            ["kind"] = new JsonObject { ["const"] = kind.Name, ["description"] = kind.Description },
        };
        foreach (var setting in kind.Settings)
        {
            var type = setting.Type switch { SettingType.Number => "integer", SettingType.Boolean => "boolean", _ => "string" };
            foreach (var name in setting.Secret ? [setting.Name, setting.Name + "_env", setting.Name + "_file"] : new[] { setting.Name })
            {
                properties[name] = new JsonObject { ["type"] = type, ["description"] = name == setting.Name ? setting.Description : $"{(name.EndsWith("_env", StringComparison.Ordinal) ? "The environment variable" : "The file")} that holds it. {setting.Description}" };
            }
        }

        return new JsonObject
        {
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["required"] = new JsonArray([.. kind.Settings.Where(setting => setting is { Required: true, Secret: false }).Select(setting => setting.Name).Prepend("kind").Prepend("name")]),
            ["properties"] = properties,
        };
    }

    private static JsonNode Export() => ExportJson.Options.GetJsonSchemaAsNode(typeof(ConfiguredExport), new JsonSchemaExporterOptions
    {
        TreatNullObliviousAsNonNullable = true,
        TransformSchemaNode = static (context, schema) =>
        {
            if (schema is not JsonObject node)
            {
                return schema;
            }

            if (context.TypeInfo.Type == typeof(TimeSpan) || context.TypeInfo.Type == typeof(TimeSpan?))
            {
                node["type"] = context.TypeInfo.Type == typeof(TimeSpan) ? "string" : new JsonArray("string", "null");
                node["pattern"] = "^[0-9]+[smhdw]$";
            }

            if (context.TypeInfo.Kind == System.Text.Json.Serialization.Metadata.JsonTypeInfoKind.Object)
            {
                node["additionalProperties"] = false;
            }

            return node;
        },
    });
}

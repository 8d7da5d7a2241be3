using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>What is known of a message when its body is made.</summary>
/// <param name="Address">The slice.</param>
/// <param name="Number">The message's number in it.</param>
/// <param name="Id">The message's id.</param>
/// <param name="Rows">Each row as a JSON object.</param>
internal sealed record MessageParts(SliceAddress Address, int Number, string Id, IReadOnlyList<ReadOnlyMemory<byte>> Rows);

/// <summary>How rows become a body: lines, an array, or what the user's template says.</summary>
internal sealed partial class MessageBody
{
    private readonly IReadOnlyList<Action<ArrayBufferWriter<byte>, MessageParts>> _parts;

    private MessageBody(string contentType, params IReadOnlyList<Action<ArrayBufferWriter<byte>, MessageParts>> parts) =>
        (ContentType, _parts) = (contentType, parts);

    public string ContentType { get; }

    /// <summary>The rows of a message without rows: none, or an empty one where the body is of one row.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> NoRows { get; private init; } = [];

    /// <exception cref="UserErrorException">There is no such body, or the template is wrong.</exception>
    public static MessageBody Of(WebhookOptions options)
    {
        if (options.Template is not null && options.Body != "template")
        {
            throw new UserErrorException(WebhookOptions.BodySetting, $"There is a template, but body is {options.Body}.", "Set body to template, or leave the template out.");
        }

        var type = options.ContentType ?? (options.Body == "ndjson" ? "application/x-ndjson" : "application/json");
        if (!System.Net.Http.Headers.MediaTypeHeaderValue.TryParse(type, out _))
        {
            throw new UserErrorException(WebhookOptions.ContentTypeSetting, $"\"{type}\" is no content type.", "Use one such as application/json.");
        }

        return options.Body switch
        {
            "ndjson" => new MessageBody(type, Lines),
            "json" => new MessageBody(type, Array),
            "template" => Parse(options, type),
            _ => throw new UserErrorException(WebhookOptions.BodySetting, $"There is no body \"{options.Body}\".", "Use ndjson, json or template."),
        };
    }

    public ReadOnlyMemory<byte> Render(MessageParts message)
    {
        var output = new ArrayBufferWriter<byte>(message.Rows.Sum(row => row.Length + 1) + 256);
        foreach (var part in _parts)
        {
            part(output, message);
        }

        return output.WrittenMemory;
    }

    private static MessageBody Parse(WebhookOptions options, string type)
    {
        var template = options.Template ?? throw Wrong("template is missing.", "Write the body around {{rows}}.");
        var parts = new List<Action<ArrayBufferWriter<byte>, MessageParts>>();
        var at = 0;
        var single = false;
        var hasRows = false;
        foreach (Match place in Place().Matches(template))
        {
            var before = Encoding.UTF8.GetBytes(template[at..place.Index]);
            var name = place.Groups["name"].Value;
            at = place.Index + place.Length;
            single |= name == "row" || name.StartsWith("row.", StringComparison.Ordinal);
            hasRows |= single || name == "rows";
            parts.Add((output, _) => output.Write(before));
            parts.Add(PartOf(name));
        }

        var rest = Encoding.UTF8.GetBytes(template[at..]);
        parts.Add((output, _) => output.Write(rest));
        if (!hasRows)
        {
            throw Wrong("The template has no place for rows.", "Write {{rows}}, or with batch_rows 1 {{row}} or {{row.COLUMN}}.");
        }

        if (single && options.BatchRows != 1)
        {
            throw Wrong($"The template is of one row, and batch_rows is {options.BatchRows}.", "Set batch_rows to 1, or write {{rows}}.");
        }

        var body = new MessageBody(type, parts) { NoRows = single ? [Encoding.UTF8.GetBytes("{}")] : [] };
        if (type.Contains("json", StringComparison.OrdinalIgnoreCase))
        {
            body.CheckJson();
        }

        return body;
    }

    // Values stand in the template as JSON, texts with their quotes, so nothing in a row can leave its place.
    private static Action<ArrayBufferWriter<byte>, MessageParts> PartOf(string name) => name switch
    {
        "rows" => Array,
        "row" => (output, message) => output.Write(message.Rows[0].Span),
        "id" => (output, message) => Value(output, message.Id),
        "export" => (output, message) => Value(output, message.Address.Export),
        "interval_start" => (output, message) => Value(output, message.Address.Interval.Start),
        "interval_end" => (output, message) => Value(output, message.Address.Interval.End),
        "slice" => (output, message) => Value(output, message.Address.Slice),
        "batch" => (output, message) => Value(output, message.Number),
        "count" => (output, message) => Value(output, message.Rows.Count),
        _ when name.StartsWith("row.", StringComparison.Ordinal) => (output, message) => Column(output, message.Rows[0], name[4..]),
        _ => throw Wrong(
            $"The template has a place {{{{{name}}}}} that is not known.",
            "Use rows, row, row.COLUMN, id, export, interval_start, interval_end, slice, batch or count."),
    };

    private static void Value<T>(ArrayBufferWriter<byte> output, T value) => output.Write(JsonSerializer.SerializeToUtf8Bytes(value));

    private static void Column(ArrayBufferWriter<byte> output, ReadOnlyMemory<byte> row, string column)
    {
        using var read = JsonDocument.Parse(row);
        var text = read.RootElement.TryGetProperty(column, out var value) ? value.GetRawText() : "null";
        output.Write(Encoding.UTF8.GetBytes(text));
    }

    private static void Lines(ArrayBufferWriter<byte> output, MessageParts message)
    {
        foreach (var row in message.Rows)
        {
            output.Write(row.Span);
            output.Write("\n"u8);
        }
    }

    private static void Array(ArrayBufferWriter<byte> output, MessageParts message)
    {
        var separator = "["u8;
        foreach (var row in message.Rows)
        {
            output.Write(separator);
            output.Write(row.Span);
            separator = ","u8;
        }

        output.Write(message.Rows.Count == 0 ? "[]"u8 : "]"u8);
    }

    private static UserErrorException Wrong(string message, string advice) => new(WebhookOptions.TemplateSetting, message, advice);

    private void CheckJson()
    {
        var day = new Model.DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1));
        var trial = Render(new MessageParts(new SliceAddress("export", day, 0, 1, 1), 0, "msg_0", NoRows));
        try
        {
            using var read = JsonDocument.Parse(trial);
        }
        catch (JsonException error)
        {
            throw Wrong(
                string.Create(CultureInfo.InvariantCulture, $"The template makes no JSON: line {error.LineNumber + 1} is wrong."),
                "Values come with their quotes: write {\"text\": {{row.message}}}; or give another content_type.");
        }
    }

    [GeneratedRegex(@"\{\{\s*(?<name>[^{}]*?)\s*\}\}")]
    private static partial Regex Place();
}

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;
using Spectre.Console;

namespace Exporter.Exports.Cli;

/// <summary>What a command says: tables and lines for people, JSON for programs. Control codes only on a terminal.</summary>
internal sealed class Output
{
    private readonly IAnsiConsole _console;
    private readonly TextWriter _out;
    private readonly TextWriter _error;

    public Output(bool json, TextWriter output, TextWriter error)
    {
        IsJson = json;
        _out = output;
        _error = error;
        _console = ConsoleFor(output, Console.IsOutputRedirected);
        Progress = ConsoleFor(error, Console.IsErrorRedirected);
    }

    /// <summary>Whether <c>--json</c> was given.</summary>
    public bool IsJson { get; }

    /// <summary>Standard error, for what is not the answer: progress.</summary>
    public IAnsiConsole Progress { get; }

    /// <summary>Whether progress may be drawn over.</summary>
    public bool DrawsProgress => Progress.Profile.Capabilities.Ansi && !Console.IsErrorRedirected;

    /// <summary>The answer as JSON, or as people read it.</summary>
    public void Answer<T>(T value, Action<Output> forPeople)
    {
        if (IsJson)
        {
            _out.WriteLine(JsonSerializer.Serialize(value, ExportJson.Indented));
        }
        else
        {
            forPeople(this);
        }
    }

    /// <summary>A line of the answer.</summary>
    public void Line(string text) => _out.WriteLine(text);

    /// <summary>A remark beside the answer; not with <c>--json</c>.</summary>
    public void Remark(string text)
    {
        if (!IsJson)
        {
            _error.WriteLine(text);
        }
    }

    /// <summary>A table; with nothing in it, the line that says so.</summary>
    public void Table(IReadOnlyList<string> headers, IEnumerable<IReadOnlyList<string?>> rows, string whenEmpty)
    {
        var table = new Table { Border = Console.IsOutputRedirected ? TableBorder.None : TableBorder.Simple, Expand = false };
        foreach (var header in headers)
        {
            table.AddColumn(new TableColumn(new Text(header, new Style(decoration: Decoration.Bold))) { NoWrap = headers.Count < 12 });
        }

        foreach (var row in rows)
        {
            table.AddRow(row.Select(cell => new Text(cell ?? "")));
        }

        if (table.Rows.Count == 0)
        {
            Line(whenEmpty);
        }
        else
        {
            _console.Write(table);
        }
    }

    /// <summary>Names and values, one a line; those without value are left out.</summary>
    public void Details(params IEnumerable<(string Name, string? Value)> details)
    {
        var grid = new Grid().AddColumn(new GridColumn { NoWrap = true }).AddColumn();
        foreach (var (name, value) in details.Where(detail => !string.IsNullOrEmpty(detail.Value)))
        {
            grid.AddRow(new Text(name, new Style(decoration: Decoration.Bold)), new Text(value!));
        }

        _console.Write(grid);
    }

    /// <summary>What is another before and after, one a line.</summary>
    public void Changes(IEnumerable<FieldChange> changes) => Details(changes.Select(change => (change.Field, (string?)$"{Short(change.Before)} -> {Short(change.After)}")));

    /// <summary>An error, in one line, with what to do.</summary>
    public void Error(string message, string? setting, string? advice)
    {
        if (IsJson)
        {
            _error.WriteLine(JsonSerializer.Serialize(new { Error = new { Message = message, Setting = setting, Advice = advice } }, ExportJson.Options));
        }
        else
        {
            // Messages of others' come without a full stop.
            var end = message.EndsWith('.') ? "" : ".";
            var text = $"{message}{end}{(string.IsNullOrEmpty(advice) ? "" : " " + advice)}";
            _error.WriteLine($"error: {(setting is null || Names(text, setting) ? "" : setting + ": ")}{text}");
        }
    }

    // Whether a text says, in words of its own, which setting it is about.
    private static bool Names(string text, string setting) => Array.Exists(
        [setting, setting.Replace('_', ' '), setting.Replace('_', '-')], name => text.Contains(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>A change as people read it.</summary>
    public static string Text(FieldChange change) => $"{change.Field}: {Short(change.Before)} -> {Short(change.After)}";

    private static string Short(JsonNode? value)
    {
        var text = value switch
        {
            null => "none",
            JsonValue one when one.TryGetValue<string>(out var words) => words,
            _ => value.ToJsonString(ExportJson.Options),
        };
        return text.Length <= 120 ? text : text[..117] + "...";
    }

    /// <summary>A time as people read it: UTC, to the second.</summary>
    public static string? Text(DateTimeOffset? time) =>
        time?.ToUniversalTime().ToString(time.Value.UtcTicks % TimeSpan.TicksPerDay == 0 ? "yyyy-MM-dd" : "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    /// <summary>A number with separators.</summary>
    public static string? Text(long? number) => number?.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>Bytes in the unit that fits.</summary>
    public static string Bytes(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        var size = (double)bytes;
        var unit = 0;
        while (size >= 1024 && unit < units.Length - 1)
        {
            size /= 1024;
            unit++;
        }

        return size.ToString(unit == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + units[unit];
    }

    private static IAnsiConsole ConsoleFor(TextWriter writer, bool redirected)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        if (redirected)
        {
            // A file has no width: one line stays one line.
            console.Profile.Width = 10_000;
        }

        return console;
    }
}

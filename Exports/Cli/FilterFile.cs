using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Exporter.Exports.Cli;

/// <summary>
/// Conditions in a file, YAML or JSON: <c>include</c> and <c>exclude</c> are columns with lists of values, <c>where</c> is a list of
/// conditions as on the command line or with column, path, operator and values, <c>filter</c> is a SQL predicate.
/// </summary>
internal sealed class FilterFile
{
    private const int MostBytes = 1 << 20;

    public Dictionary<string, List<string>>? Include { get; set; }

    public Dictionary<string, List<string>>? Exclude { get; set; }

    public List<object>? Where { get; set; }

    public string? Filter { get; set; }

    public IEnumerable<ColumnValues> IncludeValues => Values("include", Include);

    public IEnumerable<ColumnValues> ExcludeValues => Values("exclude", Exclude);

    public IEnumerable<PropertyCondition> Conditions => (Where ?? []).Select(Condition);

    /// <summary>Reads a file.</summary>
    /// <exception cref="UserErrorException">It cannot be read, or has something else in it.</exception>
    public static FilterFile Read(string path)
    {
        try
        {
            return new DeserializerBuilder().WithNamingConvention(UnderscoredNamingConvention.Instance).Build().Deserialize<FilterFile?>(
                Text("filter_file", path)) ?? new FilterFile();
        }
        catch (YamlException error)
        {
            throw new UserErrorException(
                "filter_file",
                $"{path} holds no filter: line {error.Start.Line} is wrong.",
                "It may have include, exclude, where and filter; see docs/models.md.",
                error);
        }
    }

    /// <summary>The text of a file of at most 1 MiB.</summary>
    /// <exception cref="UserErrorException">It cannot be read.</exception>
    public static string Text(string setting, string path)
    {
        try
        {
            return new FileInfo(path).Length <= MostBytes ? File.ReadAllText(path) : throw new UserErrorException(
                setting, $"{path} has more than {MostBytes:N0} bytes.", "Give a file that holds the text alone.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException(setting, $"{path} cannot be read: {error.Message}", "Correct its path or its permissions.", error);
        }
    }

    private static IEnumerable<ColumnValues> Values(string setting, Dictionary<string, List<string>>? given) => (given ?? []).Select(
        pair => pair.Value is { Count: > 0 } ? new ColumnValues(pair.Key, pair.Value) : throw new UserErrorException(
            setting, $"{setting} names no values of {pair.Key}.", "Give a list of values."));

    private static PropertyCondition Condition(object given)
    {
        if (given is string text)
        {
            return ConditionText.Condition(text);
        }

        var parts = given as Dictionary<object, object> ?? throw Wrong("A condition is neither a text nor a list of column, path, operator and values.");
        if (parts.Keys.FirstOrDefault(name => name is not ("column" or "path" or "operator" or "values")) is { } unknown)
        {
            throw Wrong($"A condition has \"{unknown}\" in it.");
        }

        var word = parts.GetValueOrDefault("operator") as string ?? "";
        return new PropertyCondition
        {
            Column = parts.GetValueOrDefault("column") as string ?? "",
            Path = List(parts, "path"),
            Operator = ExportJson.Find<PropertyOperator>(word)
                ?? throw Wrong($"\"{word}\" is no operator; they are {string.Join(", ", ExportJson.Words<PropertyOperator>())}."),
            Values = List(parts, "values"),
        }.Validate();
    }

    private static List<string> List(Dictionary<object, object> parts, string name) => parts.GetValueOrDefault(name) switch
    {
        null => [],
        string one => [one],
        List<object> many when many.TrueForAll(one => one is string) => [.. many.Cast<string>()],
        _ => throw Wrong($"The {name} of a condition is no list of texts."),
    };

    private static UserErrorException Wrong(string problem) => new("where", problem, "Write \"column.property operator value\"; see docs/models.md.");
}

using System.Text.RegularExpressions;

namespace Exporter.Engine.Tests.Examples;

/// <summary>
/// Documents that show code which is tested: a block that follows <c>&lt;!-- example: name --&gt;</c> is the region of that name in a folder
/// of examples. With UPDATE_TEXTS=1 in the environment the blocks are written anew instead.
/// </summary>
internal static partial class ShownCode
{
    public static async Task CheckAsync(string document, string examples)
    {
        var regions = new Dictionary<string, string>();
        foreach (var source in Directory.GetFiles(examples, "*.cs"))
        {
            foreach (Match region in Region().Matches(await File.ReadAllTextAsync(source)))
            {
                regions.Add(region.Groups["name"].Value, Unindented(region.Groups["code"].Value));
            }
        }

        var shown = new List<string>();
        var text = await File.ReadAllTextAsync(document);
        var expected = Block().Replace(text, block =>
        {
            var name = block.Groups["name"].Value;
            shown.Add(name);
            return regions.TryGetValue(name, out var code)
                ? $"<!-- example: {name} -->\n```csharp\n{code}```\n"
                : throw new InvalidDataException($"No file of {examples} has a region \"README {name}\".");
        });
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await File.WriteAllTextAsync(document, expected);
            return;
        }

        Assert.That(text, Is.EqualTo(expected), $"{document}; UPDATE_TEXTS=1 writes its blocks anew");
        Assert.That(shown, Is.EquivalentTo(regions.Keys), "each example is shown once");
    }

    private static string Unindented(string code)
    {
        var lines = code.TrimEnd().Split('\n');
        var indent = lines.Where(line => line.Length > 0).Min(line => line.Length - line.TrimStart().Length);
        return string.Concat(lines.Select(line => (line.Length > 0 ? line[indent..] : line) + "\n"));
    }

    [GeneratedRegex(@"^ *#region README (?<name>[a-z-]+)\n(?<code>.*?)^ *#endregion", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Region();

    [GeneratedRegex(@"^<!-- example: (?<name>[a-z-]+) -->\n```csharp\n(?<code>.*?)^```\n", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();
}

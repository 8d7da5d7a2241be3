namespace Exporter.Engine.Testing;

/// <summary>Where <c>make tools</c> has put what it fetched.</summary>
public static class ToolFolder
{
    /// <summary>
    /// The places where a tool may be: below <c>EXPORTER_TOOLS</c>, and below <c>.tools</c> in the folder of this program and
    /// every folder above it.
    /// </summary>
    public static IEnumerable<string> Candidates(string relativePath)
    {
        if (Environment.GetEnvironmentVariable("EXPORTER_TOOLS") is { Length: > 0 } tools)
        {
            yield return Path.Combine(tools, relativePath);
        }

        foreach (var start in new[] { AppContext.BaseDirectory, Environment.CurrentDirectory })
        {
            for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
            {
                yield return Path.Combine(folder.FullName, ".tools", relativePath);
            }
        }
    }
}

namespace Exporter.Exports.Tests;

/// <summary>The folder that the tests were built in: they compare what the program says with docs/ and with its own source.</summary>
internal static class Repository
{
    private static readonly Lazy<string> Root = new(() =>
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Exporter.sln")))
        {
            folder = folder.Parent ?? throw new DirectoryNotFoundException("Exporter.sln is in no folder above the tests.");
        }

        return folder.FullName;
    });

    /// <summary>The path of a file or folder.</summary>
    /// <param name="path">From the root, such as <c>docs/types.md</c>.</param>
    public static string PathOf(string path) => Path.Combine(Root.Value, path);
}

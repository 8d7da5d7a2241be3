using System.Runtime.CompilerServices;

namespace Exporter.Engine.Tests.Examples;

/// <summary>The blocks of Engine/README.md are regions of this folder.</summary>
public sealed class ReadmeTests
{
    [Test]
    public Task The_readme_shows_the_code_that_is_tested() => ShownCode.CheckAsync(Path.Combine(Folder(), "../../Engine/README.md"), Folder());

    private static string Folder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class FilesContract : DestinationContract
{
    private string _root = "";

    [SetUp]
    public void MakeRoot() => _root = Directory.CreateTempSubdirectory("exporter-files-").FullName;

    [TearDown]
    public void RemoveRoot() => Directory.Delete(_root, recursive: true);

    protected override IDestination Make(FormatOptions format) => DestinationKinds.Open(
        new Destination { Name = "files", Kind = "files", Settings = new() { ["root"] = _root, ["prefix"] = "team/a" } }, format);

    protected override Task<IReadOnlyList<string>> VisibleAsync() => Task.FromResult(Keys(hidden: false));

    protected override Task<IReadOnlyList<string>> HiddenAsync() => Task.FromResult(Keys(hidden: true));

    protected override Task<byte[]> BytesAsync(string key) => File.ReadAllBytesAsync(Path.Combine(_root, key));

    private IReadOnlyList<string> Keys(bool hidden) =>
    [
        .. new DirectoryInfo(_root).EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 })
            .Where(file => file.Name.StartsWith('.') == hidden)
            .Select(file => Path.GetRelativePath(_root, file.FullName))
            .Order(StringComparer.Ordinal),
    ];
}

using System.Text.RegularExpressions;

namespace Exporter.Exports.Tests;

internal sealed partial class GuaranteesTests
{
    [Test]
    public void Every_test_that_the_guarantees_name_exists()
    {
        var docs = Repository.PathOf("docs");
        var named = TestLink().Matches(File.ReadAllText(Path.Combine(docs, "guarantees.md")));
        Assert.That(named, Has.Count.GreaterThan(40));
        Assert.Multiple(() =>
        {
            foreach (Match link in named)
            {
                var (name, file) = (link.Groups["test"].Value, Path.GetFullPath(Path.Combine(docs, link.Groups["file"].Value)));
                Assert.That(file, Does.Exist, name);
                var declared = new Regex($@"\[Test[^\r\n]*\]\s*(\[[^\r\n]*\]\s*)*public (async Task|Task|void) {name}\(");
                Assert.That(File.Exists(file) && declared.IsMatch(File.ReadAllText(file)), $"{name} is no test in {file}");
            }
        });
    }

    [Test]
    public void Every_promise_names_a_test()
    {
        var promises = File.ReadLines(Repository.PathOf("docs/guarantees.md")).Where(line => line.StartsWith("| **", StringComparison.Ordinal)).ToList();
        Assert.That(promises, Has.Count.GreaterThan(20));
        Assert.That(promises, Has.All.Matches<string>(line => line is not null && TestLink().IsMatch(line.Split('|')[3])));
    }

    [GeneratedRegex(@"\[(?<test>\w+)\]\((?<file>\.\./[^)]+Tests?/[^)]+\.cs)\)")]
    private static partial Regex TestLink();
}

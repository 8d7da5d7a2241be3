using System.Text.RegularExpressions;
using Azure;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.AzureBlob;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Every code of the table in docs/destinations/azure-blob.md is sorted as that says, whether or not a server can be made to answer it.</summary>
public sealed partial class AzureBlobErrorTests
{
    private static readonly AzureBlobOptions Options = new() { Account = "account", Container = "box", SasToken = "sig=x", AccessTier = "Cold" };

    [TestCaseSource(nameof(Documented))]
    public void A_code_is_sorted_as_the_documentation_says(string code, int status, string who)
    {
        var sorted = AzureBlobErrors.Sort(new RequestFailedException(status, "Refused.", code, null), Options)!;
        if (who.StartsWith("nobody", StringComparison.Ordinal))
        {
            Assert.That(sorted.Kind, Is.EqualTo(who.Contains("Retry-After", StringComparison.Ordinal) ? ErrorKind.Throttled : ErrorKind.Transient), sorted.Message);
            return;
        }

        Assert.That(sorted.Kind, Is.EqualTo(ErrorKind.User), sorted.Message);
        Assert.That(Quoted().Matches(who).Select(match => match.Groups[1].Value), Does.Contain(sorted.Setting));
        Assert.That((sorted.Message, sorted.Advice), Is.Not.EqualTo(("", "")));
        Assert.That(sorted.Message, Does.Not.Contain("sig=x"));
    }

    [TestCase(429, ErrorKind.Throttled)]
    [TestCase(503, ErrorKind.Throttled)]
    [TestCase(500, ErrorKind.Transient)]
    [TestCase(408, ErrorKind.Transient)]
    [TestCase(401, ErrorKind.User)]
    [TestCase(403, ErrorKind.User)]
    [TestCase(409, ErrorKind.Bug)]
    public void A_code_that_nobody_knows_is_sorted_by_its_status(int status, ErrorKind kind) => Assert.That(
        AzureBlobErrors.Sort(new RequestFailedException(status, "Refused.", "NewCode", null), Options)!.Kind, Is.EqualTo(kind));

    [Test]
    public void No_code_that_is_sorted_is_missing_from_the_documentation()
    {
        var source = File.ReadAllText(Repository.PathOf("Exports/Destinations/AzureBlob/AzureBlobErrors.cs"));
        var sorted = SortedCode().Matches(source).Select(match => match.Groups[1].Value).ToHashSet(StringComparer.Ordinal);
        Assert.That(sorted, Has.Count.GreaterThan(30));
        Assert.That(sorted.Except(Documented().Select(one => (string)one.Arguments[0]!)), Is.Empty);
    }

    private static IEnumerable<TestCaseData> Documented() =>
        from line in File.ReadLines(Repository.PathOf("docs/destinations/azure-blob.md")).SkipWhile(line => !line.StartsWith("| code |", StringComparison.Ordinal))
        let cells = line.Split('|')
        where cells.Length > 2
        from code in Quoted().Matches(cells[1]).Select(match => match.Groups[1].Value)
        select new TestCaseData(code, StatusOf(code), cells[2].Trim());

    // What decides is the code; a status of its own only where the code has no line of its own.
    private static int StatusOf(string code) => code switch
    {
        "InternalError" => 500,
        "AuthorizationFailure" or "AuthorizationPermissionMismatch" => 403,
        _ => 409,
    };

    [GeneratedRegex("`([A-Za-z0-9_]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex("\"([A-Z][a-z]+[A-Z][A-Za-z0-9]+)\"(?= or|,|\\s+or)")]
    private static partial Regex SortedCode();
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Settings that are wrong: refused by name, or found by a check.</summary>
public sealed class BigQuerySettingTests
{
    private BigQueryServer _server = null!;

    [OneTimeSetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [SetUp]
    public void Allow() => _server.Tables.Denied.Clear();

    [TestCase("project", "other-project", "project", "There is no project other-project")]
    [TestCase("dataset", "missing", "dataset", "There is no dataset test-project.missing")]
    [TestCase("location", "EU", "location", "is in europe-west3, not in EU")]
    [TestCase("credentials", "other", "credentials", "Google does not give a token")]
    [TestCase("endpoint", "http://127.0.0.1:1", null, "cannot be reached")]
    public async Task A_check_says_in_one_sentence_what_is_wrong(string setting, string value, string? named, string sentence)
    {
        using var other = System.Security.Cryptography.RSA.Create(2048);
        await using var destination = _server.Open((setting, setting == "credentials" ? BigQueryTokens.Key(key: other) : value));
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain(sentence));
        Assert.That(last.Detail, named is null ? Is.Not.Empty : Does.Contain($"Setting: {named}."));
    }

    [TestCase("bigquery.datasets.get", "connect")]
    [TestCase("bigquery.tables.create", "permissions")]
    [TestCase("bigquery.jobs.create", "permissions")]
    [TestCase("bigquery.tables.updateData", "write")]
    [TestCase("bigquery.tables.delete", "clean up")]
    public async Task A_permission_that_is_missing_is_named(string permission, string step)
    {
        _server.Tables.Denied.Add(permission);
        await using var destination = _server.Open();
        var results = await destination.CheckAsync(default).ToListAsync();
        Assert.That(results[^1].Step, Is.EqualTo(step));
        Assert.That(results[^1].Detail, Does.Contain($"{permission} is missing").And.Contain("Setting: credentials."));
    }

    [TestCase("project", "My Project")]
    [TestCase("dataset", "project.dataset")]
    [TestCase("table", "a/b")]
    [TestCase("endpoint", "bigquery.googleapis.com")]
    [TestCase("token_url", "oauth2")]
    [TestCase("location", "in the EU")]
    [TestCase("mode", "upsert")]
    [TestCase("key", "id")]
    [TestCase("version", "id")]
    [TestCase("provenance_column", "a$")]
    [TestCase("partition_unit", "week")]
    [TestCase("cluster_by", "a,b,c,d,e")]
    [TestCase("labels", "Team=x")]
    [TestCase("chunk_size", 300_000)]
    [TestCase("chunk_size", 0)]
    [TestCase("timeout", 0)]
    [TestCase("timeout", 30_000)]
    [TestCase("staging_hours", 0)]
    public void A_setting_out_of_range_is_refused_by_name(string setting, object? value) => Assert.That(
        () => _server.Open((setting, value)), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting));
}

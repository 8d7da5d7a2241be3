using Exporter.Exports.Cli;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Conditions from a file, and hosts from one connection string.</summary>
internal sealed class FilterFileTests
{
    [TestCase("""
        include: { event: [signup, purchase], team_id: [2] }
        exclude: { country: ["XX"] }
        where:
          - properties.plan in pro, team
          - { column: properties, path: [utm.source], operator: not_equals, values: [test, 'a, b'] }
          - { column: properties, path: plan, operator: set }
        filter: amount > 10
        """)]
    [TestCase("""
        { "include": { "event": ["signup", "purchase"], "team_id": ["2"] }, "exclude": { "country": ["XX"] }, "filter": "amount > 10",
          "where": ["properties.plan in pro, team", { "column": "properties", "path": ["utm.source"], "operator": "not_equals", "values": ["test", "a, b"] },
            { "column": "properties", "path": "plan", "operator": "set" }] }
        """)]
    public void Yaml_and_json_say_the_same(string text)
    {
        var file = Read(text);
        Assert.That(
            file.IncludeValues.Concat(file.ExcludeValues).Select(one => $"{one.Column}: {string.Join('|', one.Values)}"),
            Is.EqualTo(new[] { "event: signup|purchase", "team_id: 2", "country: XX" }));
        Assert.That(
            file.Conditions.Select(one => $"{one.Column} {string.Join('/', one.Path)} {one.Operator} {string.Join('|', one.Values)}"),
            Is.EqualTo(new[] { "properties plan In pro|team", "properties utm.source NotEquals test|a, b", "properties plan Set " }));
        Assert.That(file.Filter, Is.EqualTo("amount > 10"));
    }

    [TestCase("includes: { a: [b] }", "filter_file")]
    [TestCase("include: [a]", "filter_file")]
    [TestCase("include: { a: [] }", "include")]
    [TestCase("exclude: { a: }", "exclude")]
    [TestCase("where: [a is b]", "where")]
    [TestCase("where: [[a]]", "where")]
    [TestCase("where: [{ column: a, operator: equals, values: [b], more: c }]", "where")]
    [TestCase("where: [{ column: a, operator: is, values: [b] }]", "where")]
    [TestCase("where: [{ operator: set }]", "where")]
    [TestCase("where: [{ column: a, operator: equals, values: [[b]] }]", "where")]
    public void What_is_no_filter_is_refused_by_its_setting(string text, string setting) => Assert.That(
        () =>
        {
            var file = Read(text);
            return (file.IncludeValues.ToList(), file.ExcludeValues.ToList(), file.Conditions.ToList());
        },
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting));

    [TestCase("http://u:p%40ss@a:8123,b:8124/db", "a:8123,b:8124", "8123", "p@ss")]
    [TestCase("https://u:p@a,b/db", "a:8443,b:8443", "8443", "p")]
    [TestCase("Host=a,b:8124;Port=9000;Password=x,y", "a,b:8124", "9000", "x,y")]
    public void Several_hosts_stand_in_one_connection_string(string text, string hosts, string port, string password)
    {
        var read = new System.Data.Common.DbConnectionStringBuilder { ConnectionString = ConnectionText.ClickHouse(text) };
        Assert.That((read["Host"].ToString(), read["Port"].ToString(), read["Password"].ToString()), Is.EqualTo((hosts, port, password)));
        Assert.That(ConnectionText.Place(read.ConnectionString), Does.StartWith(hosts));
    }

    private static FilterFile Read(string text)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, text);
            return FilterFile.Read(path);
        }
        finally
        {
            File.Delete(path);
        }
    }
}

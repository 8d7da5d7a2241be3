using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

public sealed class ConditionTextTests
{
    [TestCase("properties.plan equals pro", "properties", "plan", PropertyOperator.Equals, "pro")]
    [TestCase("properties.plan in pro, big team ,free", "properties", "plan", PropertyOperator.In, "pro|big team|free")]
    [TestCase("properties.\"a.b\".\"c d\" contains \"x, y\"", "properties", "a.b|c d", PropertyOperator.Contains, "x, y")]
    [TestCase("properties.$feature/x set", "properties", "$feature/x", PropertyOperator.Set, "")]
    [TestCase("  team_id   greater_or_equal   2 ", "team_id", "", PropertyOperator.GreaterOrEqual, "2")]
    [TestCase("p.at less 2026-01-31T12:00:00Z", "p", "at", PropertyOperator.Less, "2026-01-31T12:00:00Z")]
    [TestCase("p.url not_regex ^https?://[a-z]+$", "p", "url", PropertyOperator.NotRegex, "^https?://[a-z]+$")]
    [TestCase("p.q equals \"say \\\"no\\\"\"", "p", "q", PropertyOperator.Equals, "say \"no\"")]
    [TestCase("p.empty equals \"\"", "p", "empty", PropertyOperator.Equals, "")]
    public void A_condition_is_column_path_operator_and_values(string text, string column, string path, PropertyOperator word, string values)
    {
        var read = ConditionText.Condition(text);
        Assert.That((read.Column, string.Join('|', read.Path), read.Operator), Is.EqualTo((column, path, word)));
        Assert.That(string.Join('|', read.Values), Is.EqualTo(values));
        Assert.That(read.Values, Has.Count.EqualTo(word == PropertyOperator.Set ? 0 : values.Split('|').Length));
    }

    [TestCase("")]
    [TestCase("properties.plan")]
    [TestCase("properties.plan is pro")]
    [TestCase("properties.plan equals")]
    [TestCase("properties.plan set yes")]
    [TestCase("properties.plan greater much")]
    [TestCase("properties.plan greater 1, 2")]
    [TestCase("properties.plan greater NaN")]
    [TestCase("properties.plan equals \"pro")]
    [TestCase("properties.plan equals \"pro\" team")]
    [TestCase("equals pro")]
    public void What_is_no_condition_is_refused(string text) => Assert.That(
        () => ConditionText.Condition(text), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("where"));

    [Test]
    public void Values_of_one_column_come_together() => Assert.That(
        ConditionText.Values("include", ["event=a", "team_id=2", "event=b=c", "event="]).Select(one => $"{one.Column}:{string.Join('|', one.Values)}"),
        Is.EqualTo(new[] { "event:a|b=c|", "team_id:2" }));

    [TestCase("event")]
    [TestCase("=x")]
    public void What_names_no_column_and_value_is_refused(string text) => Assert.That(
        () => ConditionText.Values("exclude", [text]), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("exclude"));

    [Test]
    public void Whatever_is_written_is_read_or_refused_by_its_setting() => Check.Sample(Gen.String, text =>
    {
        try
        {
            ConditionText.Condition(text);
        }
        catch (UserErrorException error)
        {
            Assert.That(error.Setting, Is.EqualTo("where"));
        }
    });
}

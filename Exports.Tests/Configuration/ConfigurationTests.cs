using System.Text.Json.Nodes;
using Exporter.Exports.Cli;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Configuration;

/// <summary>Configuration in files: what is read, what would be done, and what is refused. No servers.</summary>
internal sealed class ConfigurationTests
{
    private const string Text =
        """
        destinations:
          - {name: lake, kind: files, root: /srv/lake}
        exports:
          - name: events
            destination: lake
            model:
              table: events
              cursor_column: at
              key_columns: [id]
              include:
                - {column: team, values: [2, "x"]}   # numbers are as good a text
            format: {format: json_lines, compression: gzip}
            schedule: {every: 1h, settle_delay: 5m}
        """;

    [Test]
    public void A_file_says_what_is_wanted()
    {
        var document = ConfigurationDocument.Read(YamlText.Read(Text, "a.yaml"), "a.yaml");
        var export = document.Exports.Single().ToBatchExport();
        Assert.That((export.Name, export.Model.Table, export.Schedule.Every, export.Schedule.SettleDelay), Is.EqualTo(("events", "events", TimeSpan.FromHours(1), TimeSpan.FromMinutes(5))));
        Assert.That(export.Model.Include.Single().Values, Is.EqualTo(["2", "x"]));
        Assert.That((export.Format.Format, export.Format.Compression, export.Settings), Is.EqualTo((FileFormat.JsonLines, Compression.Gzip, new ExportSettings())));
        Assert.That(document.Destinations.Single()["root"]!.ToString(), Is.EqualTo("/srv/lake"));
    }

    [Test]
    public void What_is_written_as_yaml_reads_as_the_same()
    {
        var node = JsonNode.Parse("""{"a": "no", "b": "7", "c": 7, "d": true, "e": "true", "f": [{"g": "x: y # z", "h": "line\nline"}], "i": "", "j": "~", "k": [], "l": "null", "m": "0x1f"}""")!;
        Assert.That(YamlText.Read(YamlText.Write(node), "text")!.ToJsonString(), Is.EqualTo(node.ToJsonString()));
    }

    [TestCase("exports: [{name: a}]", "destination")]
    [TestCase("exports: [{name: a, destination: b, model: {table: t, cursor_column: c, colour: red}, schedule: {every: 1h}}]", "colour")]
    [TestCase("exports: [{name: a, destination: b, model: {table: t, cursor_column: c}, schedule: {every: soon}}]", "soon")]
    [TestCase("exports: [{name: a, destination: b, model: {table: t, cursor_column: c}, format: {format: xml}, schedule: {every: 1h}}]", "format")]
    [TestCase("exporters: []", "exporters")]
    [TestCase("exports: 7", "exports")]
    [TestCase("a: [", "line")]
    [TestCase("--- 1\n--- 2", "documents")]
    [TestCase("destinations: [{name: a, kind: files}, {name: a, kind: files}]", "two destinations")]
    public void What_is_wrong_is_refused_in_a_sentence_that_says_where(string text, string named)
    {
        var refused = Assert.Throws<UserErrorException>(() => ConfigurationDocument.Read(YamlText.Read(text, "a.yaml"), "a.yaml"));
        Assert.That(refused!.Message, Does.Contain(named).And.Contain("a.yaml").And.Not.Contain("Exporter."));
    }

    [Test]
    public void A_plan_makes_changes_and_deletes_in_an_order_that_can_be_done()
    {
        var wanted = ConfigurationDocument.Read(YamlText.Read(Text, "a.yaml"), "a.yaml").Exports;
        Destination lake = new() { Name = "lake", Kind = "files", Settings = new JsonObject { ["root"] = "/srv/lake" } };
        Destination old = new() { Name = "old", Kind = "files", Settings = new JsonObject { ["root"] = "/old" } };
        Assert.That(Words(ConfigurationPlan.Of([lake], wanted, [], [], prune: true)), Is.EqualTo(["Create destination lake", "Create export events"]));

        var there = ViewOf(wanted[0]);
        Assert.That(Words(ConfigurationPlan.Of([lake], wanted, [lake], [there], prune: true)), Is.Empty);
        Assert.That(
            Words(ConfigurationPlan.Of([lake], [], [lake, old], [there with { Name = "gone", Destination = "old" }], prune: true)),
            Is.EqualTo(["Delete export gone", "Delete destination old"]));
        Assert.That(Words(ConfigurationPlan.Of([lake], [], [lake, old], [there], prune: false)), Is.Empty);

        var changed = ConfigurationPlan.Of(
            [lake with { Settings = new JsonObject { ["root"] = "/srv/lake", ["prefix"] = "p" }, Secrets = new Dictionary<string, string> { ["key"] = "hidden" } }],
            [wanted[0] with { Paused = true, Model = wanted[0].Model with { Filter = "x" } }], [lake], [there], prune: false);
        Assert.That(Words(changed), Is.EqualTo(["Change destination lake", "Change export events"]));
        Assert.That(changed.Steps.SelectMany(step => step.Changes).Select(Output.Text), Is.EqualTo(["prefix: none -> p", "key: none -> ***", "model.filter: none -> x", "paused: false -> true"]));
    }

    [Test]
    public void What_cannot_become_another_is_refused_before_anything_is_done()
    {
        var wanted = ConfigurationDocument.Read(YamlText.Read(Text, "a.yaml"), "a.yaml").Exports;
        Destination lake = new() { Name = "lake", Kind = "files", Settings = new JsonObject { ["root"] = "/srv/lake" } };
        Assert.Throws<UserErrorException>(() => ConfigurationPlan.Of([lake with { Kind = "s3" }], [], [lake], [], false));
        Assert.Throws<UserErrorException>(() => ConfigurationPlan.Of([], wanted, [], [], false));
        Assert.Throws<UserErrorException>(() => ConfigurationPlan.Of([lake], wanted, [lake], [ViewOf(wanted[0]) with { Destination = "other" }], false));
    }

    [Test]
    public void The_schema_for_editors_is_as_committed()
    {
        var path = Repository.PathOf("docs/exports.schema.json");
        var made = ConfigurationSchema.Make().ToJsonString(ExportJson.Indented) + "\n";
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            File.WriteAllText(path, made);
        }

        Assert.That(made, Is.EqualTo(File.Exists(path) ? File.ReadAllText(path) : ""), "docs/exports.schema.json; UPDATE_TEXTS=1 writes it anew");
    }

    private static IEnumerable<string> Words(ConfigurationPlan plan) => plan.Steps.Select(step => $"{step.Action} {step.Kind} {step.Name}");

    private static BatchExportView ViewOf(ConfiguredExport export) => new(
        Guid.NewGuid(), export.Name, export.Destination, Guid.NewGuid(), export.Model, export.Format, export.Schedule, export.Settings, false, null, null, null,
        DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch, null, ProjectStore.Default);
}

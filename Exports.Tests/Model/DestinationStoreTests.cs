using System.Text;
using System.Text.Json.Nodes;
using Dapper;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using static Exporter.Exports.Tests.Model.ModelFixture;

namespace Exporter.Exports.Tests.Model;

public sealed class DestinationStoreTests
{
    [Test]
    public async Task Settings_keep_their_types_and_secrets_come_back()
    {
        await using var database = await TestDatabase.NewAsync();
        var created = await database.Destinations.CreateAsync(Bucket(), "tester");
        var loaded = await database.Destinations.LoadAsync(created.DestinationId);
        Assert.That(loaded.Configuration().ToJsonString(), Is.EqualTo(
            $$"""{"parts":4,"bucket":"events","path_style":true,"secret_key":"{{Secret}}"}"""));
        Assert.That(created.SecretNames, Is.EqualTo(["secret_key"]));
    }

    [Test]
    public async Task No_table_holds_a_secret_in_the_clear()
    {
        await using var database = await TestDatabase.NewAsync();
        await NewHourlyAsync(database);
        await using var connection = await database.Data.OpenConnectionAsync();
        var tables = (await connection.QueryAsync<string>(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('engine', 'exports')")).ToList();
        Assert.That(tables, Has.Count.GreaterThan(15));
        foreach (var table in tables)
        {
            var rows = string.Join('\n', await connection.QueryAsync<string>($"select t::text from {table} t"));
            Assert.That(rows, Does.Not.Contain(Secret).And.Not.Contain(Convert.ToHexStringLower(Encoding.UTF8.GetBytes(Secret))), table);
        }
    }

    [Test]
    public async Task After_a_rotation_secrets_need_the_new_key_alone()
    {
        await using var database = await TestDatabase.NewAsync();
        var created = await database.Destinations.CreateAsync(Bucket(), "tester");
        var newKey = KeyRing.NewKey();
        var both = new DestinationStore(database.Data, new PayloadCodec(KeyRing.Parse($"{newKey},{database.Key}")));
        Assert.That(await both.RotateAsync(), Is.EqualTo((1, 1)));
        Assert.That(await both.RotateAsync(), Is.EqualTo((1, 0)));
        var only = new DestinationStore(database.Data, new PayloadCodec(KeyRing.Parse(newKey)));
        Assert.That((await only.LoadAsync(created.DestinationId)).Secrets["secret_key"], Is.EqualTo(Secret));
        await Assert.ThrowsAsync<UserErrorException>(() => database.Destinations.LoadAsync(created.DestinationId));
    }

    [Test]
    public async Task Secrets_are_refused_without_a_key()
    {
        await using var database = await TestDatabase.NewAsync();
        var store = new DestinationStore(database.Data, new PayloadCodec(KeyRing.Empty));
        var error = await Assert.ThrowsAsync<UserErrorException>(() => store.CreateAsync(Bucket(), "tester"));
        Assert.That(error!.Message, Does.Contain("EXPORTER_ENCRYPTION_KEY").And.Not.Contain(Secret));
        Assert.That(await database.Destinations.ListAsync(), Is.Empty);
    }

    [Test]
    public async Task Another_key_names_the_setting_to_mend()
    {
        await using var database = await TestDatabase.NewAsync();
        var created = await database.Destinations.CreateAsync(Bucket(), "tester");
        var store = new DestinationStore(database.Data, new PayloadCodec(KeyRing.Parse(KeyRing.NewKey())));
        var error = await Assert.ThrowsAsync<UserErrorException>(() => store.LoadAsync(created.DestinationId));
        Assert.That(error!.Setting, Is.EqualTo("encryption_key"));
        Assert.That(error.Message, Does.Contain("\"bucket\""));
    }

    [Test]
    public async Task A_name_is_taken_once_and_free_after_deletion()
    {
        await using var database = await TestDatabase.NewAsync();
        var first = await database.Destinations.CreateAsync(Bucket(), "tester");
        var error = await Assert.ThrowsAsync<UserErrorException>(() => database.Destinations.CreateAsync(Bucket(), "tester"));
        Assert.That(error!.Setting, Is.EqualTo("name"));
        await database.Destinations.DeleteAsync("bucket", "tester");
        var second = await database.Destinations.CreateAsync(Bucket(), "tester");
        Assert.That(second.DestinationId, Is.Not.EqualTo(first.DestinationId));
        Assert.That(await database.ScalarAsync<int>("select count(*) from exports.destination where secrets is not null"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_destination_in_use_stays()
    {
        await using var database = await TestDatabase.NewAsync();
        await NewHourlyAsync(database);
        var error = await Assert.ThrowsAsync<UserErrorException>(() => database.Destinations.DeleteAsync("bucket", "tester"));
        Assert.That(error!.Message, Does.Contain("\"hourly\""));
        await database.Exports.DeleteAsync("hourly", "tester");
        await database.Destinations.DeleteAsync("bucket", "tester");
        Assert.That(await database.Destinations.ListAsync(), Is.Empty);
    }

    [Test]
    public async Task Every_change_is_audited_with_secrets_masked()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.Destinations.CreateAsync(Bucket(), "alice");
        await database.Destinations.DeleteAsync("bucket", "bob");
        var audited = await database.ScalarAsync<string>(
            "select string_agg(actor || ' ' || action || ' ' || kind || ' ' || name || ' ' || (coalesce(after, before) -> 'secrets')::text, '; ' order by audit_id) from exports.audit_log");
        Assert.That(audited, Is.EqualTo(
            """alice create destination bucket {"secret_key": "***"}; bob delete destination bucket {"secret_key": "***"}"""));
    }

    [Test]
    public void Names_that_cannot_stand_in_a_key_are_refused([Values("", "a b", "../x", "é", "-x", "x\n", "a/b")] string name) =>
        Assert.That(() => Bucket(name).Validate(), Throws.TypeOf<UserErrorException>());

    [Test]
    public async Task An_edit_changes_what_it_names_and_shows_no_secret()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = await database.Destinations.CreateAsync(Bucket(), "tester");
        var after = await database.Destinations.EditAsync(
            "bucket",
            new DestinationEdit
            {
                Settings = new Dictionary<string, JsonNode?> { ["region"] = "eu-central-1", ["parts"] = null },
                Secrets = new Dictionary<string, string?> { ["secret_key"] = "another-is-no-secret-either", ["access_key"] = "AKIA" },
                UnchangedSince = before.UpdatedAt,
            },
            "ann");

        Assert.That(after.Settings.ToJsonString(), Is.EqualTo("""{"bucket":"events","region":"eu-central-1","path_style":true}"""));
        Assert.That(after.SecretNames, Is.EqualTo(["access_key", "secret_key"]));
        Assert.That((await database.Destinations.LoadAsync(after.DestinationId)).Secrets["secret_key"], Is.EqualTo("another-is-no-secret-either"));
        var audit = (await new AuditStore(database.Data).ListAsync(new AuditFilter { Name = "bucket", Actor = "ann" })).Single();
        Assert.That(audit.Changes().Select(change => change.Field), Is.EquivalentTo(["settings.parts", "settings.region", "secrets.access_key", "secrets.secret_key", "updated_at"]));
        Assert.That(audit.Before!.ToJsonString() + audit.After!.ToJsonString(), Does.Not.Contain("is-no-secret").And.Not.Contain("AKIA"));

        Assert.That(
            (await Assert.ThrowsAsync<UserErrorException>(() => database.Destinations.EditAsync("bucket", new DestinationEdit { UnchangedSince = before.UpdatedAt }, "bob")))!.Setting,
            Is.EqualTo("updated_at"));
    }

    [Test]
    public async Task Where_rows_lie_stays_unless_they_were_moved()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var elsewhere = new DestinationEdit { Settings = new Dictionary<string, JsonNode?> { ["bucket"] = "elsewhere" } };
        Assert.That((await database.Destinations.EditAsync("bucket", elsewhere, "tester")).Settings["bucket"]!.ToString(), Is.EqualTo("elsewhere"), "nothing lies there yet");

        var run = await database.Control.StartAsync(export, Hour(3), "tester");
        await CompleteAsync(database, run, export, Hour(3));
        var back = new DestinationEdit { Settings = new Dictionary<string, JsonNode?> { ["bucket"] = "events" } };
        Assert.That((await Assert.ThrowsAsync<UserErrorException>(() => database.Destinations.EditAsync("bucket", back, "tester")))!.Setting, Is.EqualTo("bucket"));
        await database.Destinations.EditAsync("bucket", new DestinationEdit { Settings = new Dictionary<string, JsonNode?> { ["region"] = "eu-central-1" } }, "tester");
        Assert.That((await database.Destinations.EditAsync("bucket", back with { RowsWereMoved = true }, "tester")).Settings["bucket"]!.ToString(), Is.EqualTo("events"));
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class PostgresTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private PostgresServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await PostgresServer.NewAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_commit_whose_answer_is_lost_is_noticed_and_nothing_is_copied_again()
    {
        await using var proxy = FaultProxy.Start(_server.Parts.Port);
        var address = Slice(1) with { StepKey = "run/3" };
        var trap = new FaultTrap(FaultMoment.AnswerLost, "_exporter_commits", "COMMIT");
        await using (var destination = _server.Open(("port", proxy.Port)))
        {
            await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
            await WriteAsync(sink, [1, "a"], [2, "b"]);
            proxy.Set(trap);
            var commit = sink.CommitAsync(default);
            await trap.Sprung;
            trap.Release();
            var error = await Assert.CatchAsync(() => commit);
            Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        }

        await using var next = _server.Open();
        var found = await next.ResumeSliceAsync(address with { Attempt = 2 }, default);
        Assert.That(found?.Receipt.Rows, Is.EqualTo(2));
        Assert.That(await _server.ScalarAsync<long>("select count(*) from events"), Is.EqualTo(2));
    }

    [Test]
    public async Task A_commit_that_never_arrived_is_not_taken_for_one()
    {
        await using var proxy = FaultProxy.Start(_server.Parts.Port);
        var address = Slice(1) with { StepKey = "run/3" };
        var trap = new FaultTrap(FaultMoment.NeverArrives, "_exporter_commits", "COMMIT");
        await using (var destination = _server.Open(("port", proxy.Port)))
        {
            await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
            await WriteAsync(sink, [1, "a"]);
            proxy.Set(trap);
            var commit = sink.CommitAsync(default);
            await trap.Sprung;
            trap.Release();
            Assert.That(async () => await commit, Throws.Exception);
        }

        await using var next = _server.Open();
        Assert.That(await next.ResumeSliceAsync(address with { Attempt = 2 }, default), Is.Null);
        Assert.That(await _server.ScalarAsync<long>("select count(*) from events"), Is.Zero);
    }

    [Test]
    public async Task An_attempt_waits_for_the_commit_of_the_one_before_it_and_then_notices_it()
    {
        await using var proxy = FaultProxy.Start(_server.Parts.Port);
        var address = Slice(1) with { StepKey = "run/3" };
        var trap = new FaultTrap(FaultMoment.ArrivesLate, "_exporter_commits", "COMMIT");
        await using var destination = _server.Open(("port", proxy.Port));
        var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        proxy.Set(trap);
        Assert.That(async () => await sink.CommitAsync(default), Throws.Exception, "its connection is cut");
        await sink.DisposeAsync();

        await using var next = _server.Open();
        var noticing = next.ResumeSliceAsync(address with { Attempt = 2 }, default);
        await Eventually.TrueAsync(
            async () => await _server.ScalarAsync<long>("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()") == 1,
            "the next attempt waits");
        trap.Release();

        Assert.That((await noticing)?.Receipt.Rows, Is.EqualTo(1));
        Assert.That(await _server.ScalarAsync<long>("select count(*) from events"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_server_that_is_cut_off_in_mid_copy_costs_the_attempt_and_nothing_else()
    {
        await using var proxy = FaultProxy.Start(_server.Parts.Port);
        await using (var destination = _server.Open(("port", proxy.Port)))
        {
            await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
            await WriteAsync(sink, [1, new string('x', 1_000_000)]);
            proxy.CutAll();
            var error = await Assert.CatchAsync(async () =>
            {
                await WriteAsync(sink, [2, new string('x', 1_000_000)]);
                await sink.CommitAsync(default);
            });
            Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        }

        await using var next = _server.Open();
        await ExportAsync(next, Slice(2), [1, "a"]);
        Assert.That(await _server.ListAsync<string>("select text from events"), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task Columns_that_the_export_gains_are_added_and_none_is_dropped()
    {
        await using (var first = _server.Open())
        {
            await ExportAsync(first, Slice(1), [1, "a"]);
        }

        await using var second = _server.Open();
        var wider = new TestTable("id", "at:instant");
        await using var sink = await second.OpenSliceAsync(Slice(1) with { Slice = 1 }, wider.Schema, default);
        using var batch = wider.Batch([2L, Day.Start]);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);

        Assert.That(
            await _server.ListAsync<string>("select concat_ws('|', id, coalesce(text, '-'), coalesce((at at time zone 'UTC')::text, '-')) from events order by id"),
            Is.EqualTo(new[] { "1|a|-", "2|-|2026-01-01 00:00:00" }));
    }

    [TestCase("create table events (id integer, text text)", "\"id\"", "integer", "bigint")]
    [TestCase("create table events (id bigint, text integer)", "\"text\"", "integer", "text")]
    [TestCase("create table events (id numeric(18,0), text text)", "\"id\"", "numeric(18,0)", "bigint")]
    [TestCase("create table events (id bigint, text text, other date not null)", "\"other\"", "NOT NULL", "")]
    [TestCase("create table events (id bigint, text text generated always as ('x') stored)", "\"text\"", "is generated", "")]
    [TestCase("create view events as select 1::bigint as id, 'a'::text as text", "public.events", "a view", "")]
    [TestCase("create materialized view events as select 1::bigint as id, 'a'::text as text", "public.events", "a materialized view", "")]
    public async Task A_conflict_is_reported_before_anything_is_written(string sql, string what, string found, string needed)
    {
        await _server.ExecuteAsync(sql);
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default));
        var sorted = destination.Classify(error!)!;

        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "table")));
        Assert.That(sorted.Message, Does.Contain(what).And.Contain(found).And.Contain(needed));
        Assert.That(
            await _server.ScalarAsync<long>("select count(*) from pg_attribute where attname = '_exporter_commit' and attrelid = 'events'::regclass"),
            Is.Zero,
            "nor was it given a column");
    }

    [Test]
    public async Task A_table_of_wider_types_takes_the_rows()
    {
        await _server.ExecuteAsync(
            """
            create type mood as enum ('a', 'b');
            create table events (extra integer default 7, text mood, id numeric(30,5), small bigint) partition by range (id);
            create table one partition of events for values from (0) to (100)
            """);
        var table = new TestTable("id", "text:text", "small:int32");
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), table.Schema, default);
        using var batch = table.Batch([1L, "b", 3], [2L, null, 4]);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);

        Assert.That(
            await _server.ListAsync<string>("select concat_ws('|', id, coalesce(text::text, '-'), small, extra) from one order by id"),
            Is.EqualTo(new[] { "1.00000|b|3|7", "2.00000|-|4|7" }));
    }

    [Test]
    public async Task Names_are_taken_literally_and_cannot_leave_their_quotes()
    {
        const string Name = "Ev.ents \"; drop table x; --";
        await _server.ExecuteAsync("create schema \"My \"\"schema\"");
        var table = new TestTable("Id \"x\"", "text:text");
        await using var destination = _server.Open(("schema", "My \"schema"), ("table", Name + "{export}"));
        await using var sink = await destination.OpenSliceAsync(Slice(1), table.Schema, default);
        using var batch = table.Batch([1L, "a"]);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);

        Assert.That(
            await _server.ScalarAsync<string>($"select concat_ws('|', \"Id \"\"x\"\"\", text) from \"My \"\"schema\".\"{Name.Replace("\"", "\"\"", StringComparison.Ordinal)}events\""),
            Is.EqualTo("1|a"));
    }

    [Test]
    public async Task Without_a_provenance_column_a_second_export_of_an_interval_is_refused_and_the_first_stays()
    {
        await using (var first = _server.Open(("provenance_column", "")))
        {
            await ExportAsync(first, Slice(1), [1, "a"]);
        }

        await using var second = _server.Open(("provenance_column", ""));
        Assert.That(
            () => second.OpenSliceAsync(Slice(2) with { StepKey = "another" }, Table.Schema, default),
            Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("provenance_column"));
        Assert.That(await _server.ListAsync<string>("select text from events"), Is.EqualTo(new[] { "a" }));
        Assert.That(
            await _server.ListAsync<string>("select attname::text from pg_attribute where attrelid = 'events'::regclass and attnum > 0"), Is.EqualTo(new[] { "id", "text" }));
    }

    [TestCase("a\0b", "zero byte")]
    [TestCase("\0", "zero byte")]
    public async Task Text_that_PostgreSQL_cannot_hold_names_row_and_column_and_not_the_value(string value, string what)
    {
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "secret"], [2, value + "secret"]));
        var sorted = destination.Classify(error!)!;

        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "columns")));
        Assert.That(sorted.Message, Does.Contain(what).And.Contain("line 2").And.Contain("column text").And.Not.Contain("secret"));
        Assert.That(await _server.ScalarAsync<long>("select count(*) from events"), Is.Zero);
    }

    [TestCase("{\"a\": \"\\u0000secret\"}")]
    [TestCase("{\"a\": \"\\ud83dsecret\"}")]
    [TestCase("{secret")]
    public async Task Json_that_PostgreSQL_cannot_hold_names_the_column_and_not_the_value(string value)
    {
        await _server.ExecuteAsync("create table events (id bigint, text jsonb)");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, value]));
        var sorted = destination.Classify(error!)!;

        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "columns")));
        Assert.That(sorted.Message, Does.Contain("JSON").And.Contain("column text").And.Not.Contain("secret"));
    }

    [TestCase("uuid", "no UUID")]
    [TestCase("inet", "no IP address")]
    [TestCase("numeric", "no number")]
    public async Task Text_that_is_no_value_of_the_columns_type_names_the_column(string type, string what)
    {
        await _server.ExecuteAsync($"create table events (id bigint, text {type})");
        await using var destination = _server.Open();
        Assert.That(
            () => ExportAsync(destination, Slice(1), [1, "secret"]),
            Throws.TypeOf<UserErrorException>().With.Message.Contains(what).And.Message.Contains("\"text\"").And.Message.Not.Contains("secret"));
    }

    [Test]
    public async Task A_row_that_breaks_a_rule_of_the_table_is_the_users_to_mend()
    {
        await _server.ExecuteAsync("create table events (id bigint primary key, text text)");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "a"], [1, "b"]));
        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("table").And.Property("Advice").Contains("merge"));
    }

    [TestCase("database", "no_such_database", "database", "There is no database no_such_database")]
    [TestCase("username", "nobody", "username", "does not let nobody in")]
    [TestCase("schema", "missing", "schema", "There is no schema \"missing\"")]
    [TestCase("port", 1, null, "cannot be reached")]
    [TestCase("host", "no.such.host.invalid", null, "There is no host named no.such.host.invalid")]
    [TestCase("ssl_mode", "verify-full", "ssl_mode", "offers no TLS")]
    public async Task A_check_says_in_one_sentence_what_is_wrong(string setting, object value, string? named, string sentence)
    {
        await using var destination = _server.Open((setting, value));
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];

        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain(sentence));
        Assert.That(last.Detail, named is null ? Is.Not.Empty : Does.Contain($"Setting: {named}."));
    }

    [Test]
    public async Task A_server_that_never_answers_is_given_up_in_time()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        await using var destination = _server.Open(("port", ((IPEndPoint)silent.LocalEndpoint).Port), ("connect_timeout", 1));
        var clock = Stopwatch.StartNew();
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];

        Assert.That((last.Ok, last.Detail), Is.EqualTo((false, $"127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port} did not answer in time.")));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(20)));
    }

    [Test]
    public async Task A_server_that_falls_silent_in_mid_copy_is_given_up_in_time()
    {
        await using var proxy = FaultProxy.Start(_server.Parts.Port);
        await using var destination = _server.Open(("port", proxy.Port), ("timeout", 2));
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        proxy.IsBlackhole = true;
        var error = await Assert.CatchAsync(() => sink.CommitAsync(default));
        proxy.Normal();

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("did not answer in time"));
    }

    [Test]
    public async Task What_the_user_may_not_do_is_named_with_the_grant_that_is_missing()
    {
        var role = "r" + Guid.NewGuid().ToString("N");
        await _server.ExecuteAsync($"create role {role} login; create schema private; create table public.events (id bigint, text text, _exporter_commit bigint)");
        await using (var destination = _server.Open(("username", role), ("schema", "private")))
        {
            Assert.That((await destination.CheckAsync(default).ToListAsync())[^1].Detail, Does.Contain($"may not use schema private. Setting: username. As an owner: grant usage on schema \"private\" to \"{role}\"."));
        }

        await using (var destination = _server.Open(("username", role)))
        {
            Assert.That((await destination.CheckAsync(default).ToListAsync())[^1].Detail, Does.Contain("may not create tables in schema public").And.Contain("grant create on schema"));
        }

        // A table that it may read and not write.
        await _server.ExecuteAsync($"grant all on schema public to {role}; grant select on events to {role}");
        await using (var destination = _server.Open(("username", role), ("table", "events")))
        {
            Assert.That((await destination.CheckAsync(default).ToListAsync())[^1].Detail, Does.Contain("may not insert into public.events"));
            var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "a"]));
            Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("username"));
        }
    }

    [Test]
    public async Task A_server_that_is_read_only_is_named()
    {
        var role = "r" + Guid.NewGuid().ToString("N");
        await _server.ExecuteAsync($"create role {role} login; grant all on schema public to {role}; alter role {role} set default_transaction_read_only = on");
        await using var destination = _server.Open(("username", role));

        Assert.That((await destination.CheckAsync(default).ToListAsync())[^1].Detail, Does.Contain("is read-only").And.Contain("Setting: host."));
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "a"]));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("host"));
    }

    [Test]
    public async Task A_user_who_may_not_create_tables_goes_on_with_those_that_an_owner_made()
    {
        await using (var owner = _server.Open())
        {
            await ExportAsync(owner, Slice(1), [1, "a"]);
        }

        var role = "r" + Guid.NewGuid().ToString("N");
        await _server.ExecuteAsync(
            $"create role {role} login; grant select, insert, update, delete on events, _exporter_commits to {role}; grant usage on sequence _exporter_commit_id to {role}");
        await using var destination = _server.Open(("username", role));
        Assert.That(await destination.CheckAsync(default).ToListAsync(), Has.All.Property(nameof(CheckResult.Ok)).True);
        await ExportAsync(destination, Slice(2), [2, "b"]);
        Assert.That(await _server.ListAsync<string>("select text from events"), Is.EqualTo(new[] { "b" }));
    }

    [TestCase("port", 0)]
    [TestCase("timeout", 0)]
    [TestCase("connect_timeout", 301)]
    [TestCase("ssl_mode", "always")]
    [TestCase("mode", "upsert")]
    [TestCase("key", "id")]
    [TestCase("host", "")]
    [TestCase("schema", "0123456789012345678901234567890123456789012345678901234567890123")]
    [TestCase("root_certificate", "root.pem")]
    public void A_setting_out_of_range_is_refused_by_name(string setting, object value) => Assert.That(
        () => _server.Open((setting, value)), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting));

    private static SliceAddress Slice(long token) => new("events", Day, 0, 1, token);

    private static async Task ExportAsync(IDestination destination, SliceAddress address, params object?[][] rows)
    {
        await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
        await WriteAsync(sink, rows);
        await sink.CommitAsync(default);
    }

    private static async Task WriteAsync(ISliceSink sink, params object?[][] rows)
    {
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
    }
}

using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Model;

/// <summary>The presets, over tables as PostHog makes them (without Kafka, replicas and shards).</summary>
internal sealed class PresetTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 2, 0, 0, 0, TimeSpan.Zero);
    private static readonly DataInterval Day = new(Start, Start.AddDays(1));

    private LocalClickHouse _server = null!;
    private string _database = null!;
    private ClickHouseSource _source = null!;

    [SetUp]
    public async Task MakeDatabaseAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        var connection = (await _server.CreateDatabaseAsync()).Replace($"Username={LocalClickHouse.User}", "Username=reader", StringComparison.Ordinal);
        _database = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        _source = new ClickHouseSource(new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
    }

    [TearDown]
    public void Close() => _source.Dispose();

    [Test]
    public async Task Events_belong_to_the_interval_in_which_they_were_stored_and_come_once()
    {
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {_database}.events (uuid UUID, event VARCHAR, properties VARCHAR, timestamp DateTime64(6, 'UTC'), team_id Int64, distinct_id VARCHAR,
              elements_chain VARCHAR, created_at DateTime64(6, 'UTC'), person_id UUID, person_created_at DateTime64, person_properties VARCHAR,
              person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2), _timestamp DateTime, _offset UInt64,
              inserted_at Nullable(DateTime64(6, 'UTC')) DEFAULT NOW64())
            ENGINE = ReplacingMergeTree(_timestamp) PARTITION BY toYYYYMM(timestamp)
            ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))
            """);
        await _server.ExecuteAsync($"SYSTEM STOP MERGES {_database}.events");
        // 300 events of two teams, stored over three days, of which every one was sent twice, and old ones that have no inserted_at.
        var insert = $$"""
            INSERT INTO {{_database}}.events (uuid, event, properties, timestamp, team_id, distinct_id, person_id, _timestamp, inserted_at)
            SELECT {{Person("number")}}, ['$pageview', 'signup'][number % 2 + 1], '{"plan":"pro","$set":{"a":1} }', toDateTime64('2026-10-01 00:00:00', 6, 'UTC'),
              1 + number % 2, 'd', {{Person("1")}}, toDateTime('2026-11-01 00:00:00', 'UTC') + intDiv(number, 100) * 86400,
              if(number % 10 = 0, NULL, toDateTime64('2026-11-01 01:00:00', 6, 'UTC') + intDiv(number, 100) * 86400) FROM numbers(300)
            """;
        await _server.ExecuteAsync(insert);
        await _server.ExecuteAsync(insert);
        var events = ModelPresets.Find("events");
        Assert.That(await ReadAsync(events, "count(), uniqExact(uuid), any(set), any(set_once)"), Is.EqualTo("100\t100\t{\"a\":1}\t\\N"));
        Assert.That(await ReadAsync(events with { Include = [new("team_id", ["2"]), new("event", ["signup"])] }, "count(), uniqExact(team_id)"), Is.EqualTo("50\t1"));
        Assert.That((await _source.CountByHashAsync(events with { Interval = Day }, Day, 4, default)).Sum(bucket => bucket.Rows), Is.EqualTo(100));
    }

    [Test]
    public async Task Persons_come_in_the_interval_in_which_they_or_their_distinct_ids_changed_last()
    {
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {_database}.person (id UUID, created_at DateTime64, team_id Int64, properties VARCHAR, is_identified Int8, is_deleted Int8, version UInt64,
              _timestamp DateTime, _offset UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY (team_id, id)
            """);
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {_database}.person_distinct_id2 (team_id Int64, distinct_id VARCHAR, person_id UUID, is_deleted Int8, version Int64, _timestamp DateTime,
              _offset UInt64, _partition UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY (team_id, distinct_id) SETTINGS index_granularity = 512
            """);
        // Everything began on the 1st.
        await PersonAsync("number", "numbers(100)", 0, 0, "2026-11-01 00:00:00");
        await DistinctAsync("number", "number", "numbers(100)", 0, "2026-11-01 00:00:00");
        // On the 2nd persons 0 to 9 changed, 5 was deleted, and the distinct ids 20 to 24 went to person 50.
        await PersonAsync("number", "numbers(10)", 1, 5, "2026-11-02 12:00:00");
        await DistinctAsync("number", "50", "numbers(20, 5)", 1, "2026-11-02 13:00:00");
        // On the 3rd person 9 changed once more.
        await PersonAsync("number", "numbers(9, 1)", 2, 0, "2026-11-03 12:00:00");

        var persons = ModelPresets.Find("persons");
        Assert.That(
            await ReadAsync(persons, "arrayStringConcat(arraySort(groupArray(distinct_id || ':' || substring(toString(person_id), 35, 2) || ':' || toString(person_version) || if(is_deleted, ' deleted', ''))), ', ')"),
            Is.EqualTo("0:00:1, 1:01:1, 20:50:0, 21:50:0, 22:50:0, 23:50:0, 24:50:0, 2:02:1, 3:03:1, 4:04:1, 5:05:1 deleted, 6:06:1, 7:07:1, 8:08:1"));
        Assert.That(await ReadAsync(persons with { Deleted = DeletedRows.LeaveOut }, "count()"), Is.EqualTo("13"));

        Task PersonAsync(string number, string from, int version, int deleted, string at) => _server.ExecuteAsync(
            $"INSERT INTO {_database}.person SELECT {Person(number)}, 0, 1, '{{}}', 1, {deleted} > 0 AND number = {deleted}, {version}, toDateTime('{at}', 'UTC'), 0 FROM {from}");

        Task DistinctAsync(string distinct, string person, string from, int version, string at) => _server.ExecuteAsync(
            $"INSERT INTO {_database}.person_distinct_id2 SELECT 1, toString({distinct}), {Person(person)}, 0, {version}, toDateTime('{at}', 'UTC'), 0, 0 FROM {from}");
    }

    [Test]
    public async Task Sessions_are_brought_together_from_their_states_and_come_in_the_interval_of_their_last_event()
    {
        string[] texts = ["initial_utm_source", "initial_utm_campaign", "initial_utm_medium", "initial_utm_term", "initial_utm_content", "initial_referring_domain", "initial_gclid", "initial_fbclid", "initial_gad_source", "entry_url"];
        await _server.ExecuteAsync(
            $"""
            CREATE TABLE {_database}.raw_sessions (team_id Int64, session_id_v7 UInt128, distinct_id AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
              min_timestamp SimpleAggregateFunction(min, DateTime64(6, 'UTC')), max_timestamp SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
              urls SimpleAggregateFunction(groupUniqArrayArray, Array(String)), end_url AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
              last_external_click_url AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
              {string.Join(", ", texts.Select(name => $"{name} AggregateFunction(argMin, String, DateTime64(6, 'UTC'))"))},
              pageview_uniq AggregateFunction(uniq, Nullable(UUID)), autocapture_uniq AggregateFunction(uniq, Nullable(UUID)),
              screen_uniq AggregateFunction(uniq, Nullable(UUID)), vitals_lcp AggregateFunction(argMin, Nullable(Float64), DateTime64(6, 'UTC')))
            ENGINE = AggregatingMergeTree ORDER BY (team_id, toStartOfHour(fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))), cityHash64(session_id_v7), session_id_v7)
            """);
        await _server.ExecuteAsync($"SYSTEM STOP MERGES {_database}.raw_sessions");
        // Sessions 0 to 9 with three page views an hour apart; those from 5 on end on the 2nd, the others on the 1st.
        for (var view = 0; view < 3; view++)
        {
            const string Id = "toUUID(concat('019a3c00-0000-7000-8000-', leftPad(toString(number), 12, '0')))";
            var at = $"toDateTime64('2026-11-01 12:00:00', 6, 'UTC') + {view} * 3600 + if(number >= 5, 11 * 3600, 0)";
            await _server.ExecuteAsync(
                $"""
                INSERT INTO {_database}.raw_sessions SELECT 1, toUInt128({Id}), initializeAggregation('argMaxState', 'd{view}', {at}), {at}, {at}, ['https://x.com/{view}'],
                  initializeAggregation('argMaxState', 'https://x.com/{view}', {at}), initializeAggregation('argMaxState', '', {at}),
                  {string.Join(", ", texts.Select(name => $"initializeAggregation('argMinState', '{(name == "entry_url" ? $"https://x.com/{view}" : $"{name}{view}")}', {at})"))},
                  initializeAggregation('uniqState', toNullable(generateUUIDv4(number))), initializeAggregation('uniqState', CAST(NULL, 'Nullable(UUID)')),
                  initializeAggregation('uniqState', CAST(NULL, 'Nullable(UUID)')), initializeAggregation('argMinState', toNullable(1.5), {at}) FROM numbers(10)
                """);
        }

        var read = await ReadAsync(
            ModelPresets.Find("sessions"),
            "count(), min(session_id), any(distinct_id), any(entry_pathname), any(end_pathname), any(num_uniq_urls), any(session_duration), any(pageview_count), any(entry_utm_source), min(start_timestamp)");
        Assert.That(read, Is.EqualTo("5\t019a3c00-0000-7000-8000-000000000005\td2\t/0\t/2\t3\t7200\t3\tinitial_utm_source0\t2026-11-01T23:00:00.000000Z"));
    }

    private static string Person(string number) => $"toUUID(concat('00000000-0000-4000-8000-', leftPad(toString({number}), 12, '0')))";

    // The rows of the interval as an export asks for them, and ClickHouse's answer to a question about them.
    private async Task<string> ReadAsync(SourceModel model, string question)
    {
        model = model with { Interval = Day };
        ModelCheck.Model(model);
        var columns = await _source.DescribeAsync(model, default);
        var query = QueryBuilder.Rows(model, columns, new Slice { Number = 0, Range = Day, ExpectedRows = 0 });
        var answer = await _source.AskAsync(query with { Sql = $"SELECT formatRow('TSV', {question}) FROM (\n{query.Sql}\n)" }, default);
        return answer[0][0].TrimEnd('\n');
    }
}

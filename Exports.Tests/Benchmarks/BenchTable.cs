using System.Globalization;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>
/// A table of events as product analytics has them: properties of about 6 kB, of which a part is each event's own, a part its
/// user's and a part everybody's. Each day has the same number of rows.
/// </summary>
internal sealed class BenchTable(LocalClickHouse server, long rows)
{
    public const string Name = "bench.events";
    private const long Part = 50_000;
    private static readonly DateTimeOffset First = new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero);
    private int _days;

    /// <summary>Rows of a day.</summary>
    public long Rows => rows;

    /// <summary>The first days, so many.</summary>
    public static DataInterval Days(int count) => new(First, First.AddDays(count));

    /// <summary>The rows of an interval, as a condition.</summary>
    public static string Where(DataInterval interval) => string.Create(
        CultureInfo.InvariantCulture, $"timestamp >= '{interval.Start:yyyy-MM-dd HH:mm:ss}' AND timestamp < '{interval.End:yyyy-MM-dd HH:mm:ss}'");

    /// <summary>Bytes of the first day as JSONEachRow.</summary>
    public async Task<long> JsonBytesAsync()
    {
        var sample = await server.ExecuteAsync($"SELECT * FROM {Name} WHERE cityHash64(uuid) % 50 = 0 AND {Where(Days(1))} FORMAT JSONEachRow");
        return sample.Length * rows / sample.AsSpan().Count("\n");
    }

    /// <summary>Sees that there are so many days.</summary>
    public async Task FillAsync(int days)
    {
        if (_days == 0)
        {
            await server.ExecuteAsync("CREATE DATABASE bench");
            await server.ExecuteAsync(
                $"CREATE TABLE {Name} (uuid UUID, timestamp DateTime64(6, 'UTC'), event LowCardinality(String), team_id Int64, distinct_id String, properties String, person_id UUID) ENGINE = MergeTree ORDER BY (timestamp, uuid)");
            for (var from = 0L; from < rows; from += Part)
            {
                await server.ExecuteAsync(Insert(from, Math.Min(Part, rows - from)));
            }

            _days = 1;
        }

        for (; _days < days; _days++)
        {
            await server.ExecuteAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"INSERT INTO {Name} SELECT * REPLACE(reinterpretAsUUID(concat(reinterpretAsFixedString(cityHash64(uuid, {_days})), reinterpretAsFixedString(cityHash64({_days}, uuid)))) AS uuid, timestamp + toIntervalDay({_days}) AS timestamp) FROM (SELECT * FROM {Name} WHERE {Where(Days(1))})"));
        }
    }

    private string Insert(long from, long count) => string.Create(
        CultureInfo.InvariantCulture,
        $$"""
        INSERT INTO {{Name}}
        SELECT
          reinterpretAsUUID(concat(reinterpretAsFixedString(cityHash64(number, 1)), reinterpretAsFixedString(cityHash64(number, 2)))),
          toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86400000000, {{rows}})),
          ['$pageview', '$autocapture', '$identify', 'purchase'][1 + number % 4], 1 + number % 3, concat('user-', toString(person)),
          concat('{"$current_url":"', url, '","$session_id":"', lower(hex(cityHash64(person, 5))), lower(hex(cityHash64(person, 6))),
            '","$insert_id":"', hex(cityHash64(number, 7)), '","$time":', toString(1790000000 + number), ',',
            arrayStringConcat(arrayMap(i -> concat('"$property_', toString(i), '":', multiIf(
              i % 4 = 0, toString(cityHash64(number, i) % 100000),
              i % 4 = 1, concat('"', lower(hex(cityHash64(number, i))), '"'),
              i % 4 = 2, concat('"', ['Chrome', 'Firefox', 'Safari', 'Mobile Safari'][1 + cityHash64(person, i) % 4], ' on ',
                ['Windows', 'Mac OS X', 'iOS', 'Android'][1 + cityHash64(i, person) % 4], '"'),
              concat('"/project/', toString(cityHash64(number, i) % 97), '/insights/new"'))), range(48)), ','), ',',
            arrayStringConcat(arrayMap(i -> concat('"$feature/release-of-feature-', toString(i), '-to-some-teams":',
              ['true', '"control"', '"test"'][1 + cityHash64(person % 100, i) % 3]), range(44)), ','),
            ',"$active_feature_flags":[', arrayStringConcat(arrayMap(i -> concat('"release-of-feature-', toString(i), '-to-some-teams"'), range(44)), ','),
            '],"$set":{"$current_url":"', url, '","$referrer":"https://www.google.com/","$browser":"Chrome","$os":"Mac OS X"},',
            '"$set_once":{"$initial_current_url":"', url, '","$initial_referrer":"https://www.google.com/"}', '}'),
          reinterpretAsUUID(concat(reinterpretAsFixedString(cityHash64(person, 3)), reinterpretAsFixedString(cityHash64(person, 4))))
        FROM (
          SELECT number, cityHash64(number, 3) % 50000 AS person, concat('https://app.example.com/project/', toString(cityHash64(number, 11) % 977),
            '/dashboard/', toString(cityHash64(number, 12) % 9973), '?utm_source=newsletter') AS url
          FROM numbers({{from}}, {{count}})
        )
        """);
}

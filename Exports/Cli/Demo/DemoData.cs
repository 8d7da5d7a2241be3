using System.Globalization;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Cli.Demo;

/// <summary>A table of wide events as PostHog has them, with one row in twenty there twice and not merged yet.</summary>
internal static class DemoData
{
    public const string Table = "demo.events";

    /// <summary>The day of which the table has rows.</summary>
    public static DataInterval Day { get; } = new(
        new DateTimeOffset(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));

    public static SourceModel Model { get; } = new()
    {
        Table = Table,
        CursorColumn = "timestamp",
        KeyColumns = ["team_id", "timestamp", "uuid"],
        VersionColumn = "_version",
        Dedup = Dedup.DistinctOn,
    };

    /// <summary>Makes the table, part by part; says after each how many rows there are.</summary>
    public static async Task CreateAsync(LocalClickHouse server, long rows, Action<long> filled, CancellationToken cancellationToken)
    {
        await server.ExecuteAsync("CREATE DATABASE IF NOT EXISTS demo", cancellationToken).ConfigureAwait(false);
        await server.ExecuteAsync(
            $"""
            CREATE TABLE {Table}
            (
              uuid UUID, event LowCardinality(String), team_id Int64, distinct_id String, timestamp DateTime64(6, 'UTC'),
              properties String, elements_chain String, person_id UUID, created_at DateTime64(3, 'UTC'),
              inserted_at DateTime64(6, 'UTC'), browser Nullable(String), amount Decimal(18, 4), tags Array(String), _version UInt64
            )
            ENGINE = ReplacingMergeTree(_version)
            ORDER BY (team_id, toDate(timestamp), event, timestamp, uuid)
            """,
            cancellationToken).ConfigureAwait(false);
        await server.ExecuteAsync($"SYSTEM STOP MERGES {Table}", cancellationToken).ConfigureAwait(false);
        const long Part = 100_000;
        for (var from = 0L; from < rows; from += Part)
        {
            var count = Math.Min(Part, rows - from);
            await InsertAsync(server, from, count, rows, "", 1, cancellationToken).ConfigureAwait(false);
            filled(from + count);
        }

        await InsertAsync(server, 0, rows, rows, "WHERE number % 20 = 7", 2, cancellationToken).ConfigureAwait(false);
    }

    private static Task<string> InsertAsync(
        LocalClickHouse server, long from, long count, long rows, string where, int version, CancellationToken cancellationToken) =>
        server.ExecuteAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $$"""
                INSERT INTO {{Table}}
                SELECT
                  reinterpretAsUUID(concat(reinterpretAsFixedString(cityHash64(number)), reinterpretAsFixedString(number))),
                  ['$pageview', '$autocapture', '$identify', 'purchase'][1 + number % 4],
                  1 + number % 3,
                  concat('user-', toString(cityHash64(number, 1) % 50000)),
                  toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86400000000, {{rows}})),
                  concat('{"$current_url":"https://example.com/', toString(number % 977), '","$session_id":"', hex(cityHash64(number, 2)),
                    '","$lib":"web","nested":{"n":', toString(number), ',"text":"', arrayStringConcat(arrayMap(i -> hex(cityHash64(number, i)), range(20))),
                    '"},"note":"', repeat('lorem ipsum dolor sit amet, ', 20), '"}'),
                  repeat('div:nth-child="1"nth-of-type="2"attr__class="button";', 4),
                  reinterpretAsUUID(concat(reinterpretAsFixedString(cityHash64(number, 3)), reinterpretAsFixedString(cityHash64(number, 4)))),
                  now64(3), now64(6), if(number % 5 = 0, NULL, 'Firefox'), toDecimal64(number % 100000, 4) / 100,
                  arrayMap(i -> concat('tag', toString(i)), range(number % 4)), {{version}}
                FROM (SELECT number FROM numbers({{from}}, {{count}}) {{where}})
                """),
            cancellationToken);
}

using System.Globalization;
using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Postgres;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table of docs/destinations/postgres.md: each line is a value that goes from a real ClickHouse into a real PostgreSQL.</summary>
public sealed class PostgresTypeTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    [Test]
    public async Task Every_type_arrives_in_PostgreSQL_as_the_documentation_says()
    {
        var rows = await ReadTableAsync();
        Assert.That(rows, Has.Count.GreaterThan(40));
        await using var server = await PostgresServer.NewAsync();
        await using var destination = server.Open();
        await ExportAsync(rows, destination);

        var names = Enumerable.Range(0, rows.Count).Select(Column).ToList();
        var types = await server.ListAsync<string>(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'types'::regclass and attnum > 0 and attname <> '_exporter_commit' order by attnum");
        await server.ExecuteAsync($"alter database \"{server.Parts.Database}\" set timezone = 'UTC'");
        var values = await server.ListAsync<string?>(
            $"set timezone = 'UTC'; select value from types, lateral (values {string.Join(", ", names.Select((name, at) => $"({at}, {name}::text)"))}) v(at, value) order by at");

        Assert.Multiple(() =>
        {
            foreach (var (row, at) in rows.Select((row, at) => (row, at)))
            {
                Assert.That(types[at], Is.EqualTo(row.Type), row.Example);
                Assert.That(values[at], Is.EqualTo(row.Value), row.Example);
            }
        });
    }

    [Test]
    public void A_numeric_has_every_digit_whatever_its_sign_and_scale() =>
        Gen.Select(Gen.Decimal, Gen.Int[0, 28]).Sample((number, scale) =>
        {
            // Scaled, it has to fit into the 38 digits of an Arrow decimal.
            number = Math.Round(number % 1_000_000_000, scale);
            var text = number.ToString(string.Create(CultureInfo.InvariantCulture, $"F{scale}"), CultureInfo.InvariantCulture);
            var written = new CopyBuffer();
            var digits = Int128.Parse(text.Replace(".", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
            BinaryNumeric.Write(written, (UInt128)Int128.Abs(digits), digits < 0, scale);
            var parsed = new CopyBuffer();
            return BinaryNumeric.TryWrite(parsed, System.Text.Encoding.UTF8.GetBytes(text))
                && written.Written.Span.SequenceEqual(parsed.Written.Span)
                && ValueOf(written.Written.Span) == number;
        });

    [TestCase("")]
    [TestCase("-")]
    [TestCase(".")]
    [TestCase("1e5")]
    [TestCase("1.2.3")]
    [TestCase(" 1")]
    public void A_text_that_is_no_number_is_not_taken_for_one(string text)
    {
        var written = new CopyBuffer();
        Assert.That(BinaryNumeric.TryWrite(written, System.Text.Encoding.UTF8.GetBytes(text)), Is.False);
        Assert.That(written.Length, Is.Zero);
    }

    // What PostgreSQL makes of the bytes, in decimals: groups of four digits and the weight of the first.
    private static decimal ValueOf(ReadOnlySpan<byte> bytes)
    {
        var value = 0m;
        int Short(ReadOnlySpan<byte> from) => System.Buffers.Binary.BinaryPrimitives.ReadInt16BigEndian(from);
        var (count, weight, sign) = (Short(bytes[4..]), Short(bytes[6..]), Short(bytes[8..]));
        for (var at = 0; at < count; at++)
        {
            decimal group = Short(bytes[(12 + (2 * at))..]);
            for (var place = weight - at; place != 0; place -= Math.Sign(place))
            {
                group = place > 0 ? group * 10_000 : group / 10_000;
            }

            value += group;
        }

        return sign == 0 ? value : -value;
    }

    private static async Task ExportAsync(List<TypeRow> rows, IDestination destination)
    {
        var server = await TestServers.ClickHouseAsync();
        var connection = await server.CreateDatabaseAsync();
        var database = connection[(connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..];
        await server.ExecuteAsync($"CREATE TABLE {database}.one (at DateTime('UTC')) ENGINE = MergeTree ORDER BY at");
        await server.ExecuteAsync($"INSERT INTO {database}.one VALUES ('2026-01-01 00:00:00')");
        using var source = new ClickHouseSource(
            new ClickHouseOptions { ConnectionString = connection }, TimeProvider.System, NullLogger<ClickHouseSource>.Instance);
        var model = new SourceModel
        {
            Table = "one", CursorColumn = "at", Columns = [.. rows.Select((row, at) => new SourceColumn(row.Example, Column(at)))],
        };
        var columns = await source.DescribeAsync(model, default);
        var query = QueryBuilder.Rows(model, columns, new Slice { Number = 0, Range = Day, ExpectedRows = 1 });
        await using var reader = await source.ReadAsync(query, Guid.NewGuid().ToString(), "types", default);
        await using var sink = await destination.OpenSliceAsync(
            new SliceAddress("types", Day, 0, 1, 1), SourceTypes.On(reader.Schema, columns), default);
        while (await reader.NextAsync(default) is { } batch)
        {
            using (batch)
            {
                await sink.WriteAsync(batch, default);
            }
        }

        Assert.That((await sink.CommitAsync(default)).Rows, Is.EqualTo(1));
    }

    private static string Column(int at) => string.Create(CultureInfo.InvariantCulture, $"c{at}");

    private static async Task<List<TypeRow>> ReadTableAsync()
    {
        var folder = TestContext.CurrentContext.TestDirectory;
        while (!File.Exists(Path.Combine(folder, "Exporter.sln")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        var lines = await File.ReadAllLinesAsync(Path.Combine(folder, "docs", "destinations", "postgres.md"));
        return
        [
            .. lines.SkipWhile(line => !line.StartsWith("| ClickHouse |", StringComparison.Ordinal)).Skip(2)
                .TakeWhile(line => line.StartsWith("| `", StringComparison.Ordinal)).Select(TypeRow.Parse),
        ];
    }

    private sealed record TypeRow(string Example, string Type, string? Value)
    {
        public static TypeRow Parse(string line)
        {
            var cells = line.Split('|', StringSplitOptions.TrimEntries)[1..^1];
            return new TypeRow(Code(cells[1]), cells[2], cells[3] == "null" ? null : Code(cells[3]));
        }

        private static string Code(string cell) => cell.Trim('`');
    }
}

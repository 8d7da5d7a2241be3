using System.Globalization;
using CsCheck;
using Exporter.Exports.Destinations.Postgres;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table of docs/destinations/postgres.md: each line is a value that goes from a real ClickHouse into a real PostgreSQL.</summary>
public sealed class PostgresTypeTests
{
    [Test]
    public async Task Every_type_arrives_in_PostgreSQL_as_the_documentation_says()
    {
        var rows = await TypeTable.ReadAsync("postgres.md");
        Assert.That(rows, Has.Count.GreaterThan(40));
        await using var server = await PostgresServer.NewAsync();
        await using var destination = server.Open();
        await TypeTable.ExportAsync(rows, destination);

        var names = Enumerable.Range(0, rows.Count).Select(TypeTable.Column).ToList();
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
}

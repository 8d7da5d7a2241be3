using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

internal sealed class FormatCheckTests
{
    private static readonly FormatOptions Csv = new() { Format = FileFormat.Csv };

    private static IEnumerable<TestCaseData> Wrong()
    {
        yield return Case(Csv with { Compression = Compression.Snappy }, "compression", "csv cannot be compressed with snappy.", "Use zstd, gzip, lz4, brotli or none.");
        yield return Case(
            new() { Format = FileFormat.JsonLines, Compression = Compression.Snappy },
            "compression", "json_lines cannot be compressed with snappy.", "Use zstd, gzip, lz4, brotli or none.");
        yield return Case(new() { Format = FileFormat.Arrow, Compression = Compression.Gzip }, "compression", "arrow cannot be compressed with gzip.", "Use zstd, lz4 or none.");
        yield return Case(new() { CompressionLevel = 23 }, "compression_level", "compression_level is 23.", "For zstd in parquet give a value from -7 to 22.");
        yield return Case(Csv with { CompressionLevel = 20 }, "compression_level", "compression_level is 20.", "For zstd in csv give a value from 1 to 19.");
        yield return Case(new() { Compression = Compression.Gzip, CompressionLevel = 0 }, "compression_level", "compression_level is 0.", "For gzip in parquet give a value from 1 to 9.");
        yield return Case(
            new() { Compression = Compression.Snappy, CompressionLevel = 1 },
            "compression_level", "compression_level is 1, but in parquet the compression snappy has no levels.", "Leave it out, or use zstd, gzip, lz4 or brotli.");
        yield return Case(
            new() { Format = FileFormat.Arrow, Compression = Compression.Lz4, CompressionLevel = 1 },
            "compression_level", "compression_level is 1, but in arrow the compression lz4 has no levels.", "Leave it out, or use zstd.");
        yield return Case(new() { RowGroupRows = 999 }, "row_group_rows", "row_group_rows is 999.", "Give a value from 1,000 to 1,000,000.");
        yield return Case(new() { PageBytes = 8191 }, "page_bytes", "page_bytes is 8191.", "Give a value from 8,192 to 67,108,864.");
        yield return Case(Csv with { CsvDelimiter = "" }, "csv_delimiter", "csv_delimiter is \"\".", null);
        yield return Case(Csv with { CsvDelimiter = ",," }, "csv_delimiter", "csv_delimiter is \",,\".", null);
        yield return Case(Csv with { CsvDelimiter = "1" }, "csv_delimiter", "csv_delimiter is \"1\".", null);
        yield return Case(Csv with { CsvNull = "a,b" }, "csv_null", "csv_null is \"a,b\".", null);
        yield return Case(Csv with { CsvNull = "\"" }, "csv_null", "csv_null is \"\"\".", null);
        yield return Case(new() { Format = (FileFormat)9 }, "format", "format is 9.", "Use parquet, json_lines, csv or arrow.");

        static TestCaseData Case(FormatOptions options, string setting, string problem, string? advice) =>
            new TestCaseData(options, setting, problem, advice).SetArgDisplayNames(problem);
    }

    [TestCaseSource(nameof(Wrong))]
    public void A_wrong_setting_is_named_with_its_value_and_what_is_possible(FormatOptions options, string setting, string problem, string? advice)
    {
        var error = Assert.Throws<UserErrorException>(() => FormatCheck.Validate(options));
        Assert.That((error!.Setting, error.Problem), Is.EqualTo((setting, problem)));
        Assert.That(error.Advice, advice is null ? Does.StartWith("Give ") : Is.EqualTo(advice));
    }

    [Test]
    public void Every_format_takes_its_compressions_without_a_level_and_the_defaults_are_right([Values] FileFormat format)
    {
        foreach (var compression in FormatCheck.Compressions(format))
        {
            Assert.That(() => FormatCheck.Validate(new FormatOptions { Format = format, Compression = compression }), Throws.Nothing);
        }

        Assert.That(() => FormatCheck.Validate(Csv with { CsvDelimiter = "\t", CsvNull = "\\N" }), Throws.Nothing);
    }
}

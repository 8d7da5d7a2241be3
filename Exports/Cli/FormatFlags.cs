using System.CommandLine;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>The flags that say how files are written. A flag that the chosen format has no use for is refused, not ignored.</summary>
internal sealed class FormatFlags
{
    private readonly Option<FileFormat?> _format = Values.Word<FileFormat>("--format", "The files' format. Default parquet");
    private readonly Option<Compression?> _compression = Values.Word<Compression>(
        "--compression", "Default zstd. snappy only with parquet; arrow has zstd, lz4 and none");

    private readonly Option<int?> _level = new("--compression-level")
    {
        Description = "gzip from 1 to 9, brotli from 0 to 11, lz4 from 1 to 12, zstd from 1 to 22, from -7 in parquet, to 19 with json_lines and csv. Default the codec's own",
        HelpName = "level",
    };

    private readonly Option<int?> _rowGroup = new("--row-group-rows") { Description = "Rows of a Parquet row group. Default 20,000; from 1,000 to 1,000,000", HelpName = "rows" };
    private readonly Option<long?> _page = Values.Bytes("--page-size", "About how large a Parquet page is before compression. Default 1MiB; from 8KiB to 64MiB");
    private readonly Option<bool> _noStatistics = new("--no-statistics") { Description = "Parquet without the least and greatest values of its columns" };
    private readonly Option<bool> _noDictionary = new("--no-dictionary") { Description = "Parquet without dictionaries of values that repeat" };
    private readonly Option<NestedValues?> _nested = Values.Word<NestedValues>(
        "--nested", "What becomes of Map, Tuple and Nested: nested values of the format, or JSON text. Default native");

    private readonly Option<NonFiniteNumbers?> _nonFinite = Values.Word<NonFiniteNumbers>(
        "--non-finite", "What becomes of NaN and the infinities in JSON. Default null; text writes \"NaN\" and \"Infinity\"");

    private readonly Option<bool> _noHeader = new("--csv-no-header") { Description = "CSV without a first line of names" };
    private readonly Option<string> _delimiter = new("--csv-delimiter") { Description = "What stands between CSV's fields: one character, or \"tab\". Default a comma", HelpName = "character" };
    private readonly Option<string> _null = new("--csv-null") { Description = "What stands for NULL in CSV, without quotes. Default nothing; an empty text is \"\"", HelpName = "text" };

    /// <summary>All of them.</summary>
    public IReadOnlyList<Option> Options =>
        [_format, _compression, _level, _rowGroup, _page, _noStatistics, _noDictionary, _nested, _nonFinite, _noHeader, _delimiter, _null];

    /// <summary>What they say.</summary>
    /// <exception cref="UserErrorException">A flag is of another format than the chosen one.</exception>
    public FormatOptions Read(ParseResult parse) => Change(parse, new FormatOptions());

    /// <summary>A format with what is given in place of what it has. Another file format begins with its defaults.</summary>
    /// <exception cref="UserErrorException">A flag is of another format than the chosen one.</exception>
    public FormatOptions Change(ParseResult parse, FormatOptions current)
    {
        var format = parse.GetValue(_format) ?? current.Format;
        var basis = format == current.Format ? current : new FormatOptions { Format = format };
        Refuse(parse, format, [FileFormat.Parquet], _rowGroup, _page, _noStatistics, _noDictionary);
        Refuse(parse, format, [FileFormat.JsonLines, FileFormat.Csv], _nonFinite);
        Refuse(parse, format, [FileFormat.Csv], _noHeader, _delimiter, _null);
        var compression = parse.GetValue(_compression) ?? basis.Compression;
        return basis with
        {
            Compression = compression,
            CompressionLevel = parse.GetValue(_level) ?? (compression == basis.Compression ? basis.CompressionLevel : null),
            RowGroupRows = parse.GetValue(_rowGroup) ?? basis.RowGroupRows,
            PageBytes = parse.GetValue(_page) ?? basis.PageBytes,
            Statistics = Without(parse, _noStatistics, basis.Statistics),
            Dictionary = Without(parse, _noDictionary, basis.Dictionary),
            Nested = parse.GetValue(_nested) ?? basis.Nested,
            NonFinite = parse.GetValue(_nonFinite) ?? basis.NonFinite,
            CsvHeader = Without(parse, _noHeader, basis.CsvHeader),
            CsvDelimiter = parse.GetValue(_delimiter) is { } delimiter ? delimiter is "tab" or "\\t" ? "\t" : delimiter : basis.CsvDelimiter,
            CsvNull = parse.GetValue(_null) ?? basis.CsvNull,
        };
    }

    // "--no-statistics false" gives them back.
    private static bool Without(ParseResult parse, Option<bool> option, bool basis) =>
        parse.GetResult(option) is { Implicit: false } ? !parse.GetValue(option) : basis;

    private static void Refuse(ParseResult parse, FileFormat format, FileFormat[] formats, params ReadOnlySpan<Option> options)
    {
        if (formats.Contains(format))
        {
            return;
        }

        foreach (var option in options)
        {
            if (parse.GetResult(option) is { Implicit: false })
            {
                throw new UserErrorException(
                    "format",
                    $"{option.Name} has no meaning with --format {ExportJson.Word(format)}.",
                    $"Leave it out, or use {string.Join(" or ", formats.Select(ExportJson.Word))}.");
            }
        }
    }
}

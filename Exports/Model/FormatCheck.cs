using System.Globalization;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>What must be true of format options; a message names the setting, its value, and what is possible with the others.</summary>
internal static class FormatCheck
{
    private const int LongestNull = 64;

    // zstd beyond 19 keeps windows of up to 128 MiB for each stream; of a Parquet page or an Arrow buffer it needs no more than that has.
    private const int StreamsHighestZstd = 19;

    /// <summary>Checks all options.</summary>
    /// <exception cref="UserErrorException">A setting is out of range or does not fit another.</exception>
    public static void Validate(FormatOptions format)
    {
        Defined("format", format.Format);
        Defined("compression", format.Compression);
        Defined("nested", format.Nested);
        Defined("non_finite", format.NonFinite);
        var possible = Compressions(format.Format);
        if (!possible.Contains(format.Compression))
        {
            throw new UserErrorException(
                "compression",
                $"{ExportJson.Word(format.Format)} cannot be compressed with {ExportJson.Word(format.Compression)}.",
                $"Use {Or(possible)}.");
        }

        Level(format);
        ModelCheck.Range("row_group_rows", format.RowGroupRows, 1_000, 1_000_000);
        ModelCheck.Range("page_bytes", format.PageBytes, 8 * 1024, 64 * 1024 * 1024);
        Csv(format);
    }

    /// <summary>The compressions that a format has.</summary>
    public static IReadOnlyList<Compression> Compressions(FileFormat format) => format switch
    {
        FileFormat.Parquet => Enum.GetValues<Compression>(),
        FileFormat.Arrow => [Compression.Zstd, Compression.Lz4, Compression.None],
        _ => [Compression.Zstd, Compression.Gzip, Compression.Lz4, Compression.Brotli, Compression.None],
    };

    /// <summary>The levels that a compression has in a format; null when it has none.</summary>
    public static (int Least, int Most)? Levels(FileFormat format, Compression compression) => (format, compression) switch
    {
        (FileFormat.JsonLines or FileFormat.Csv, Compression.Zstd) => (1, StreamsHighestZstd),
        (FileFormat.Parquet, Compression.Zstd) => (-7, 22),
        (_, Compression.Zstd) => (1, 22),
        (_, Compression.Gzip) => (1, 9),
        (_, Compression.Brotli) => (0, 11),
        (not FileFormat.Arrow, Compression.Lz4) => (1, 12),
        _ => null,
    };

    private static void Level(FormatOptions options)
    {
        if (options.CompressionLevel is not { } level)
        {
            return;
        }

        var (format, compression) = (ExportJson.Word(options.Format), ExportJson.Word(options.Compression));
        if (Levels(options.Format, options.Compression) is not var (least, most))
        {
            throw new UserErrorException(
                "compression_level",
                string.Create(CultureInfo.InvariantCulture, $"compression_level is {level}, but in {format} the compression {compression} has no levels."),
                $"Leave it out, or use {Or([.. Compressions(options.Format).Where(other => Levels(options.Format, other) is not null)])}.");
        }

        if (level < least || level > most)
        {
            throw new UserErrorException(
                "compression_level",
                string.Create(CultureInfo.InvariantCulture, $"compression_level is {level}."),
                string.Create(CultureInfo.InvariantCulture, $"For {compression} in {format} give a value from {least} to {most}."));
        }
    }

    private static void Csv(FormatOptions format)
    {
        if (format.CsvDelimiter is not [var delimiter] || !char.IsAscii(delimiter) || char.IsAsciiLetterOrDigit(delimiter) || "\"\r\n+-. \0".Contains(delimiter))
        {
            throw new UserErrorException(
                "csv_delimiter",
                $"csv_delimiter is \"{format.CsvDelimiter}\".",
                "Give one ASCII character that is no letter, digit, quote, sign, point, space or line end, such as a comma, a semicolon, a bar or a tab.");
        }

        if (format.CsvNull.Length > LongestNull || format.CsvNull.AsSpan().ContainsAny('"', '\r', '\n') || format.CsvNull.Contains(delimiter))
        {
            throw new UserErrorException(
                "csv_null",
                $"csv_null is \"{format.CsvNull}\".",
                string.Create(CultureInfo.InvariantCulture, $"Give at most {LongestNull} characters without quotes, line ends and the delimiter, such as NULL or \\N."));
        }
    }

    private static void Defined<T>(string setting, T value)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
        {
            throw new UserErrorException(setting, $"{setting} is {value}.", $"Use {Or(Enum.GetValues<T>())}.");
        }
    }

    private static string Or<T>(IReadOnlyList<T> values)
        where T : struct, Enum
    {
        var words = values.Select(ExportJson.Word).ToArray();
        return words.Length < 2 ? string.Concat(words) : $"{string.Join(", ", words[..^1])} or {words[^1]}";
    }
}

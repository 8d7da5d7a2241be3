using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>The encoder that a batch export's format options ask for.</summary>
internal static class EncoderFactory
{
    private const int LeastRowGroupRows = 1_000;
    private const int MostRowGroupRows = 1_000_000;

    /// <summary>Checks the options, once, where they are added.</summary>
    /// <exception cref="UserErrorException">A setting is out of range or does not fit another.</exception>
    public static void Validate(FormatOptions options)
    {
        if (!Enum.IsDefined(options.Format))
        {
            throw new UserErrorException("format", $"There is no format {options.Format}.", "Use parquet or json_lines.");
        }

        if (!Enum.IsDefined(options.Compression))
        {
            throw new UserErrorException("compression", $"There is no compression {options.Compression}.", "Use zstd, gzip, snappy or none.");
        }

        if (options is { Format: FileFormat.JsonLines, Compression: Compression.Snappy })
        {
            throw new UserErrorException("compression", "JSON Lines cannot be compressed with snappy.", "Use zstd, gzip or none.");
        }

        if (options.RowGroupRows is < LeastRowGroupRows or > MostRowGroupRows)
        {
            throw new UserErrorException(
                "row_group_rows", $"The value {options.RowGroupRows} is out of range.", $"Use {LeastRowGroupRows} to {MostRowGroupRows}.");
        }
    }

    /// <summary>Makes the encoder of one file; <paramref name="output"/> stays open.</summary>
    public static IBatchEncoder Create(FormatOptions options, Schema schema, Stream output)
    {
        Validate(options);
        return options.Format == FileFormat.Parquet
            ? new ParquetEncoder(options, schema, output)
            : new JsonLinesEncoder(options, schema, output);
    }

    /// <summary>The file's ending with its dot.</summary>
    public static string FileExtension(FormatOptions options) => (options.Format, options.Compression) switch
    {
        (FileFormat.Parquet, _) => ".parquet",
        (_, Compression.Zstd) => ".jsonl.zst",
        (_, Compression.Gzip) => ".jsonl.gz",
        _ => ".jsonl",
    };
}

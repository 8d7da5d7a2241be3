using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>The encoder that a batch export's format options ask for.</summary>
internal static class EncoderFactory
{
    /// <summary>Makes the encoder of one file; <paramref name="output"/> stays open. What the schema has as metadata stands in the
    /// files of the formats that have a place for it.</summary>
    /// <exception cref="UserErrorException">A setting is out of range or does not fit another.</exception>
    public static IBatchEncoder Create(FormatOptions options, Schema schema, Stream output)
    {
        FormatCheck.Validate(options);
        return options.Format switch
        {
            FileFormat.Parquet => new ParquetEncoder(options, schema, output),
            FileFormat.Arrow => new ArrowEncoder(options, schema, output),
            FileFormat.Csv => new CsvEncoder(options, schema, output),
            _ => new JsonLinesEncoder(options, schema, output),
        };
    }

    /// <summary>The file's ending with its dot.</summary>
    public static string FileExtension(FormatOptions options) => options.Format switch
    {
        FileFormat.Parquet => ".parquet",
        FileFormat.Arrow => ".arrow",
        FileFormat.Csv => ".csv" + TextOutput.Extension(options.Compression),
        _ => ".jsonl" + TextOutput.Extension(options.Compression),
    };
}

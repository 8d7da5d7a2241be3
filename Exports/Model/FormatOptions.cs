namespace Exporter.Exports.Model;

/// <summary>How rows become bytes. A setting of another format than the chosen one has no effect.</summary>
public sealed record FormatOptions
{
    /// <summary>The format. Default Parquet.</summary>
    public FileFormat Format { get; init; } = FileFormat.Parquet;

    /// <summary>The compression. Default zstd. Parquet has all, JSON Lines and CSV all but snappy, Arrow zstd, lz4 and none.</summary>
    public Compression Compression { get; init; } = Compression.Zstd;

    /// <summary>The level of the compression. Default the codec's own in that format. gzip from 1 to 9, brotli from 0 to 11, lz4 from
    /// 1 to 12, zstd from 1 to 22, from -7 in Parquet (below 1 faster and larger), to 19 for JSON Lines and CSV, which are one stream; snappy has no levels, nor has lz4 in Arrow.</summary>
    public int? CompressionLevel { get; init; }

    /// <summary>Rows of a Parquet row group at most. Default 20,000; from 1,000 to 1,000,000. Wide rows want few: a row group
    /// is held in memory until it is full.</summary>
    public int RowGroupRows { get; init; } = 20_000;

    /// <summary>About how many bytes a Parquet page has before compression. Default 1 MiB; from 8 KiB to 64 MiB.</summary>
    public long PageBytes { get; init; } = 1024 * 1024;

    /// <summary>Whether Parquet names the least and the greatest value of each column of a row group. Default true.</summary>
    public bool Statistics { get; init; } = true;

    /// <summary>Whether Parquet writes values that repeat once, in a dictionary, where that is smaller: not in columns whose first values hardly
    /// repeat. Default true.</summary>
    public bool Dictionary { get; init; } = true;

    /// <summary>What becomes of Map, Tuple and Nested. Default nested values of the format, where destination and format have them.</summary>
    public NestedValues Nested { get; init; }

    /// <summary>What becomes of NaN and the infinities in JSON, which has no such numbers. Default null.</summary>
    public NonFiniteNumbers NonFinite { get; init; }

    /// <summary>Whether a CSV file begins with a line of the columns' names. Default true.</summary>
    public bool CsvHeader { get; init; } = true;

    /// <summary>What stands between the fields of CSV. Default a comma; one ASCII character that is no letter, digit, quote, sign,
    /// point, space or line end.</summary>
    public string CsvDelimiter { get; init; } = ",";

    /// <summary>What stands for NULL in CSV, never in quotes; a text that is equal to it is in quotes. Default nothing; at most 64
    /// characters without quotes, delimiters and line ends.</summary>
    public string CsvNull { get; init; } = "";
}

/// <summary>A file format.</summary>
public enum FileFormat
{
    /// <summary>Apache Parquet.</summary>
    Parquet,

    /// <summary>One JSON object a line.</summary>
    JsonLines,

    /// <summary>Fields in lines, as RFC 4180 says.</summary>
    Csv,

    /// <summary>Apache Arrow's IPC file format, also known as Feather 2.</summary>
    Arrow,
}

/// <summary>A compression.</summary>
public enum Compression
{
    /// <summary>Zstandard.</summary>
    Zstd,

    /// <summary>gzip; not in Arrow.</summary>
    Gzip,

    /// <summary>Snappy, for Parquet only.</summary>
    Snappy,

    /// <summary>LZ4: raw blocks in Parquet, frames elsewhere.</summary>
    Lz4,

    /// <summary>Brotli; not in Arrow.</summary>
    Brotli,

    /// <summary>No compression.</summary>
    None,
}

/// <summary>What becomes of Map, Tuple and Nested.</summary>
public enum NestedValues
{
    /// <summary>Nested values of the format: MAP, STRUCT and LIST in Parquet and Arrow, objects and arrays in JSON.</summary>
    Native,

    /// <summary>JSON text.</summary>
    Json,
}

/// <summary>What becomes of NaN and the infinities in JSON.</summary>
public enum NonFiniteNumbers
{
    /// <summary>null.</summary>
    Null,

    /// <summary>The texts <c>NaN</c>, <c>Infinity</c> and <c>-Infinity</c>.</summary>
    Text,
}

namespace Exporter.Exports.Model;

/// <summary>How rows become bytes.</summary>
public sealed record FormatOptions
{
    /// <summary>The format. Default Parquet.</summary>
    public FileFormat Format { get; init; } = FileFormat.Parquet;

    /// <summary>The compression. Default zstd. JSON Lines has gzip, zstd and none; Parquet also snappy.</summary>
    public Compression Compression { get; init; } = Compression.Zstd;

    /// <summary>Rows of a Parquet row group at most. Default 20,000; from 1,000 to 1,000,000. Wide rows want few: a row group
    /// is held in memory until it is full.</summary>
    public int RowGroupRows { get; init; } = 20_000;
}

/// <summary>A file format.</summary>
public enum FileFormat
{
    /// <summary>Apache Parquet.</summary>
    Parquet,

    /// <summary>One JSON object a line.</summary>
    JsonLines,
}

/// <summary>A compression.</summary>
public enum Compression
{
    /// <summary>Zstandard.</summary>
    Zstd,

    /// <summary>gzip.</summary>
    Gzip,

    /// <summary>Snappy, for Parquet only.</summary>
    Snappy,

    /// <summary>No compression.</summary>
    None,
}

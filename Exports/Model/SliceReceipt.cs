namespace Exporter.Exports.Model;

/// <summary>What a committed slice left in the destination; recorded as the slice's checkpoint.</summary>
public sealed record SliceReceipt
{
    /// <summary>The slice.</summary>
    public required int Slice { get; init; }

    /// <summary>Rows written.</summary>
    public required long Rows { get; init; }

    /// <summary>Bytes written, as they lie in the destination.</summary>
    public required long Bytes { get; init; }

    /// <summary>Where: the object's key or the file's path below the destination's root; null when the slice had no rows, or the destination is a table.</summary>
    public string? File { get; init; }

    /// <summary>SHA-256 of the bytes, hexadecimal, lower case; null when there is no file.</summary>
    public string? Sha256 { get; init; }

    /// <summary>The sum modulo 2^64 of <c>cityHash64(tuple(key columns..., version column))</c> over the rows written; without a key, of
    /// the cursor column. Null when it was not taken.</summary>
    public ulong? KeyHash { get; init; }

    /// <summary>Rows that the destination cannot hold and that were put aside.</summary>
    public long QuarantinedRows { get; init; }

    /// <summary>The hash of their keys; null when there are none.</summary>
    public ulong? QuarantinedKeyHash { get; init; }

    /// <summary>Values that the destination cannot hold and that were written as null.</summary>
    public long NulledValues { get; init; }
}

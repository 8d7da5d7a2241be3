namespace Exporter.Exports.Model;

/// <summary>A part of a data interval, fixed when the run is planned: the unit of commit, parallelism and resume.</summary>
public sealed record Slice
{
    /// <summary>From 0, in the order of the plan; part of the file's name.</summary>
    public required int Number { get; init; }

    /// <summary>The cursor range of the slice, inside the run's data interval.</summary>
    public required DataInterval Range { get; init; }

    /// <summary>Only rows whose key hashes to this bucket of <see cref="HashBuckets"/>; from 0.</summary>
    public int HashBucket { get; init; }

    /// <summary>Into how many hash buckets the range is cut; 1 means the hash is not looked at.</summary>
    public int HashBuckets { get; init; } = 1;

    /// <summary>Rows counted at the source when the slice was planned or split, after dedup.</summary>
    public required long ExpectedRows { get; init; }

    /// <summary>The hash of the keys of these rows, as <see cref="SliceReceipt.KeyHash"/>; null when it is not known.</summary>
    public ulong? ExpectedKeyHash { get; init; }

    /// <summary>The slice that this is a half of; null for those of the plan.</summary>
    public int? SplitFrom { get; init; }
}

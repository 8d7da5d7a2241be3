using Exporter.Exports.Destinations;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// How a worker's memory is shared out. Measured (`make bench-export WORKS=memory`): the runtime and what it has loaded take about 160 MB, a
/// lane of wide rows about 60 MB in its encoder and destination; the rest is for batches that are read ahead.
/// </summary>
internal sealed record MemoryPlan
{
    /// <summary>What a worker may take when nothing else is said: 512 MB.</summary>
    public const long DefaultBytes = 512_000_000;

    /// <summary>The least that may be said: one lane, and 36 MB to read ahead.</summary>
    public const long LeastBytes = 256_000_000;

    private const long RuntimeBytes = 160_000_000;
    private const long LaneBytes = 60_000_000;

    // Two batches of 10 MB, ClickHouse's granule, for each lane: more only spreads the work over more memory, and makes it slower.
    private const long AheadBytes = 24_000_000;

    private MemoryPlan(int lanes, long readAheadBytes) => (Lanes, ReadAheadBytes) = (lanes, readAheadBytes);

    /// <summary>Slices that are moved at once, over all runs of the process.</summary>
    public int Lanes { get; }

    /// <summary>Bytes of batches that all lanes together hold between source and destination.</summary>
    public long ReadAheadBytes { get; }

    /// <summary>Shares memory out: as many lanes as keep the cores busy, fewer where memory is short.</summary>
    /// <param name="bytes">What the process may take; at least <see cref="LeastBytes"/>.</param>
    /// <param name="cores">Cores of the machine.</param>
    /// <exception cref="UserErrorException">It is less.</exception>
    public static MemoryPlan Of(long bytes, int cores)
    {
        if (bytes < LeastBytes)
        {
            throw new UserErrorException(
                "worker_memory", $"A worker cannot do with {bytes / 1_000_000} MB.", $"Give it {LeastBytes / 1_000_000} MB or more.");
        }

        // One lane more than there are cores, since each waits now and then for the source or the destination.
        var forLanes = bytes - RuntimeBytes;
        var lanes = (int)Math.Clamp(forLanes / (LaneBytes + (LaneBytes / 2)), 1, cores + 1);
        return new MemoryPlan(lanes, Math.Min(forLanes - (lanes * LaneBytes), lanes * AheadBytes));
    }
}

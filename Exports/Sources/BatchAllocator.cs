using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;
using Apache.Arrow.Memory;

namespace Exporter.Exports.Sources;

/// <summary>
/// The memory of batches. All batches of an export are much alike, so a block that is given back is what the next batch asks
/// for: it is kept and used again, where the C library's malloc would keep it as well, but in pieces that fit nothing, and
/// twice what is in use stays resident. At most <see cref="MostKept"/> is kept, and nothing once nothing is in use.
/// </summary>
internal sealed class BatchAllocator : MemoryAllocator
{
    /// <summary>Bytes that are kept at most.</summary>
    public const long MostKept = 64L << 20;

    private const int LeastBytes = 64 * 1024;
    private const int ClassesPerDoubling = 4;
    private readonly Lock _lock = new();
    private readonly Dictionary<nuint, Stack<nint>> _kept = [];
    private long _inUse;
    private long _bytesKept;

    public BatchAllocator()
        : base(alignment: 64) => NativeHeap.GiveLargeBlocksBack();

    /// <summary>One for the process, as the budget of memory is.</summary>
    public static BatchAllocator Shared { get; } = new();

    /// <summary>Bytes of blocks that are kept for the next batch.</summary>
    public long Kept
    {
        get
        {
            lock (_lock)
            {
                return _bytesKept;
            }
        }
    }

    protected override IMemoryOwner<byte> AllocateInternal(int length, out int bytesAllocated)
    {
        bytesAllocated = length;
        var size = SizeOf((uint)length);
        lock (_lock)
        {
            _inUse++;
            for (var fits = size; size >= LeastBytes && fits <= 2 * size; fits = SizeOf(fits + 1))
            {
                if (_kept.TryGetValue(fits, out var blocks) && blocks.TryPop(out var kept))
                {
                    _bytesKept -= (long)fits;
                    return new Block(this, kept, fits, length);
                }
            }
        }

        unsafe
        {
            return new Block(this, (nint)NativeMemory.AlignedAlloc(size, (nuint)Alignment), size, length);
        }
    }

    // Four sizes to a doubling: at most a quarter is unused, and the unused part of a fresh block is never touched.
    private static nuint SizeOf(nuint length)
    {
        if (length < LeastBytes)
        {
            return Math.Max(length, 64);
        }

        var step = BitOperations.RoundUpToPowerOf2(length) / 2 / ClassesPerDoubling;
        return (length + step - 1) / step * step;
    }

    private static unsafe void Free(List<nint> blocks) => blocks.ForEach(block => NativeMemory.AlignedFree((void*)block));

    private void Return(nint block, nuint size)
    {
        List<nint> free = [];
        lock (_lock)
        {
            _inUse--;
            if (size < LeastBytes || _bytesKept + (long)size > MostKept)
            {
                free.Add(block);
            }
            else
            {
                (_kept.TryGetValue(size, out var blocks) ? blocks : _kept[size] = []).Push(block);
                _bytesKept += (long)size;
            }

            if (_inUse == 0)
            {
                free.AddRange(_kept.Values.SelectMany(kept => kept));
                _kept.Clear();
                _bytesKept = 0;
            }
        }

        Free(free);
    }

    private sealed unsafe class Block(BatchAllocator owner, nint block, nuint size, int length) : MemoryManager<byte>
    {
        private nint _block = block;

        // Arrow's arrays hold their block for as long as they are used; this is for a batch that broke off half-way.
#pragma warning disable CA2015
        ~Block() => Dispose(false);
#pragma warning restore CA2015

        public override Span<byte> GetSpan() =>
            _block == 0 ? throw new ObjectDisposedException(nameof(Block)) : new Span<byte>((void*)_block, length);

        public override MemoryHandle Pin(int elementIndex = 0) => new((byte*)_block + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
            if (Interlocked.Exchange(ref _block, 0) is not 0 and var held)
            {
                owner.Return(held, size);
            }
        }
    }
}

using System.Buffers.Binary;
using Apache.Arrow;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Batches as the data of a binary COPY, row by row. Each row may end with the number of the commit that brings it.</summary>
internal sealed class CopyEncoder(IReadOnlyList<PostgresType> types, long? provenance)
{
    private readonly CopyBuffer _output = new();
    private bool _begun;

    /// <summary>Bytes that were encoded so far.</summary>
    public long Length { get; private set; }

    // A signature that a wrong conversion of the bytes would spoil, no flags, no extension.
    private static ReadOnlySpan<byte> Header => [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    /// <summary>Rows of a batch, from one on, until some are encoded that are worth sending. The bytes are good until the next call.</summary>
    /// <returns>The bytes, and the row to go on with.</returns>
    public (ReadOnlyMemory<byte> Bytes, int Next) Encode(CopyCell[] cells, int from, int rows, int enough)
    {
        _output.Clear();
        Begin();
        var row = from;
        for (; row < rows && _output.Length < enough; row++)
        {
            _output.Short((short)(cells.Length + (provenance is null ? 0 : 1)));
            foreach (var cell in cells)
            {
                cell(_output, row);
            }

            if (provenance is { } commit)
            {
                var bytes = _output.Take(12);
                BinaryPrimitives.WriteInt32BigEndian(bytes, 8);
                BinaryPrimitives.WriteInt64BigEndian(bytes[4..], commit);
            }
        }

        Length += _output.Length;
        return (_output.Written, row);
    }

    /// <summary>What ends the data.</summary>
    public ReadOnlyMemory<byte> End()
    {
        _output.Clear();
        Begin();
        _output.Short(-1);
        Length += _output.Length;
        return _output.Written;
    }

    /// <summary>Looks at the types of a batch once.</summary>
    public CopyCell[] Cells(RecordBatch batch) =>
        [.. types.Select((type, column) => CopyCells.Of(batch.Column(column), type, batch.Schema.GetFieldByIndex(column).Name))];

    private void Begin()
    {
        if (!_begun)
        {
            _begun = true;
            _output.Bytes(Header);
        }
    }
}

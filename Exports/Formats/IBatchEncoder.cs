using Apache.Arrow;

namespace Exporter.Exports.Formats;

/// <summary>
/// Turns batches into the bytes of one file, on the caller's thread. Bytes appear in the stream that it was made with, at any
/// time up to the end of <see cref="Complete"/>; the caller drains that stream between calls.
/// </summary>
public interface IBatchEncoder : IDisposable
{
    /// <summary>The file's ending with its dot: <c>.parquet</c>, <c>.jsonl.zst</c>.</summary>
    string FileExtension { get; }

    /// <summary>Encodes one batch; the batch is not kept.</summary>
    void Encode(RecordBatch batch);

    /// <summary>Writes what is buffered and the file's end. Called once, last.</summary>
    void Complete();
}

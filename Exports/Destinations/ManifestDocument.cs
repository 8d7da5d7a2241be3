using System.Globalization;
using System.Text.Json;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>
/// <c>manifest.json</c>, written last: it is there only while every file that it lists lies there whole. Slices without rows
/// have no file and are not listed.
/// </summary>
internal sealed record ManifestDocument
{
    public const string FileName = "manifest.json";

    public required Guid RunId { get; init; }

    public required string Export { get; init; }

    public required DateTimeOffset IntervalStart { get; init; }

    public required DateTimeOffset IntervalEnd { get; init; }

    public required long Rows { get; init; }

    public required long Bytes { get; init; }

    // Of the source's rows, those that the destination cannot hold: a reader has to know that they are missing.
    public required long QuarantinedRows { get; init; }

    public required IReadOnlyList<ManifestFile> Files { get; init; }

    public static ManifestDocument Of(RunManifest manifest) => new()
    {
        RunId = manifest.RunId,
        Export = manifest.Export,
        IntervalStart = manifest.Interval.Start,
        IntervalEnd = manifest.Interval.End,
        Rows = manifest.Slices.Sum(slice => slice.Rows),
        Bytes = manifest.Slices.Sum(slice => slice.Bytes),
        QuarantinedRows = manifest.Slices.Sum(slice => slice.QuarantinedRows),
        Files =
        [
            .. manifest.Slices.Where(slice => slice.File is not null)
                .Select(slice => new ManifestFile(slice.File!, slice.Slice, slice.Rows, slice.Bytes, slice.Sha256!)
                {
                    KeyHash = slice.KeyHash?.ToString(CultureInfo.InvariantCulture),
                }),
        ],
    };

    /// <summary>Throws unless every file lies there with its bytes.</summary>
    /// <param name="found">What lies there, by key.</param>
    /// <param name="setting">The setting that says where.</param>
    /// <param name="place">Its value.</param>
    /// <exception cref="UserErrorException">One is gone, or has other bytes.</exception>
    public void Check(IReadOnlyDictionary<string, long> found, string setting, string place)
    {
        foreach (var file in Files)
        {
            var there = found.TryGetValue(file.File, out var bytes);
            if (!there || bytes != file.Bytes)
            {
                var now = there ? string.Create(CultureInfo.InvariantCulture, $"has {bytes} bytes instead of {file.Bytes}") : "is gone";
                throw new UserErrorException(
                    setting, $"{file.File} was committed to {place} and {now}.", "See that nothing else writes or deletes there, then export the interval again.");
            }
        }
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, ExportJson.Indented);
}

/// <summary>One file of a run.</summary>
/// <param name="File">Its key below the destination's root, prefix included.</param>
/// <param name="Slice">The slice.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Its bytes.</param>
/// <param name="Sha256">SHA-256 of its bytes, hexadecimal, lower case.</param>
internal sealed record ManifestFile(string File, int Slice, long Rows, long Bytes, string Sha256)
{
    /// <summary>The hash of its rows' keys, as in <c>exports.slices.written_key_hash</c>; null when it was not taken.</summary>
    public string? KeyHash { get; init; }
}

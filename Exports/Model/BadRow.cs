using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>A row that was put aside.</summary>
/// <param name="Column">The first column with a bad value.</param>
/// <param name="Reason">Why.</param>
/// <param name="KeyHash">The hash of its key.</param>
/// <param name="Json">The row.</param>
internal sealed record BadRow(string Column, BadReason Reason, ulong KeyHash, byte[] Json);

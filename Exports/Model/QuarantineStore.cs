using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Rows that a destination cannot hold, encrypted at rest. What is put aside of a slice is replaced with its every export.</summary>
public sealed class QuarantineStore(NpgsqlDataSource data, PayloadCodec codec)
{
    private readonly ExportDatabase _database = new(data, "sql/quarantine.sql");

    /// <summary>The rows that were put aside, in the order of <see cref="RunStore.BadRowsAsync"/>, which says why; text that is no UTF-8 is
    /// <c>{"base64": ...}</c>.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="limit">At most so many.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">They are encrypted with a key that is not at hand.</exception>
    public async Task<IReadOnlyList<JsonObject>> RowsAsync(Guid runId, int limit, CancellationToken cancellationToken = default)
    {
        var rows = await _database.ListAsync<StoredRow>("LoadRows", new { RunId = runId, Limit = limit }, cancellationToken).ConfigureAwait(false);
        return [.. rows.Select(row => JsonNode.Parse(Plain(row with { RunId = runId }))!.AsObject())];
    }

    /// <summary>Encrypts every row again that is not under the ring's newest key.</summary>
    /// <returns>How many there are, and how many were encrypted again.</returns>
    /// <exception cref="UserErrorException">Rows are under a key that is not in the ring.</exception>
    public async Task<(int Seen, int Rotated)> RotateAsync(CancellationToken cancellationToken = default)
    {
        var (seen, rotated) = (0, 0);
        var last = new StoredRow { Number = -1 };
        while (await _database.ListAsync<StoredRow>("NextRows", new { last.RunId, last.Slice, last.Number }, cancellationToken).ConfigureAwait(false) is { Count: > 0 } rows)
        {
            foreach (var row in rows.Where(row => codec.NeedsRotation(row.Row)))
            {
                var place = Place(row.RunId, row.Slice, row.Number);
                rotated += await _database.ExecuteAsync(
                    "ReplaceRow", new { row.RunId, row.Slice, row.Number, Old = row.Row, New = codec.Protect(Plain(row), place) }, cancellationToken).ConfigureAwait(false);
            }

            seen += rows.Count;
            last = rows[^1];
        }

        return (seen, rotated);
    }

    /// <summary>Replaces what is put aside of a slice; alongside its commit.</summary>
    internal async Task ReplaceAsync(NpgsqlTransaction transaction, Guid runId, int slice, IReadOnlyList<BadRow> rows, CancellationToken cancellationToken)
    {
        await _database.ExecuteAsync(transaction, "ClearSlice", new { RunId = runId, Slice = slice }, cancellationToken).ConfigureAwait(false);
        if (rows.Count == 0)
        {
            return;
        }

        await _database.ExecuteAsync(
            transaction,
            "InsertRows",
            new
            {
                RunId = runId,
                Slice = slice,
                Numbers = Enumerable.Range(0, rows.Count).ToArray(),
                Columns = rows.Select(row => row.Column).ToArray(),
                Reasons = rows.Select(row => ExportJson.Word(row.Reason)).ToArray(),
                KeyHashes = rows.Select(row => (decimal)row.KeyHash).ToArray(),
                Rows = rows.Select((row, number) => codec.Protect(row.Json, Place(runId, slice, number))).ToArray(),
            },
            cancellationToken).ConfigureAwait(false);
    }

    private static string Place(Guid runId, int slice, int number) => $"quarantined row {runId}/{slice}/{number}";

    private byte[] Plain(StoredRow row)
    {
        try
        {
            return codec.Unprotect(row.Row, Place(row.RunId, row.Slice, row.Number));
        }
        catch (CryptographicException error)
        {
            throw new UserErrorException(
                "encryption_key", error.Message, "Set EXPORTER_ENCRYPTION_KEY to the keys that the rows were encrypted with.", error);
        }
    }

    private sealed record StoredRow
    {
        public Guid RunId { get; init; }

        public int Slice { get; init; }

        public int Number { get; init; }

        public byte[] Row { get; init; } = [];
    }
}

using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>A row of <c>exports.dead_letters</c>.</summary>
public sealed record DeadLetterView(
    Guid DeadLetterId, string BatchExport, string Destination, Guid RunId, int Slice, int Number, string MessageId, string Receiver, int Rows,
    int Status, string Reason, string State, DateTimeOffset CreatedAt, DateTimeOffset? ResentAt);

/// <summary>Which dead letters are listed.</summary>
public sealed record DeadLetterFilter
{
    /// <summary>Only of this project. Default all.</summary>
    public string? Project { get; init; }

    /// <summary>Only of this export. Default all.</summary>
    public string? BatchExport { get; init; }

    /// <summary>Only of this run. Default all.</summary>
    public Guid? RunId { get; init; }

    /// <summary>Also those that were sent again. Default false.</summary>
    public bool All { get; init; }

    /// <summary>Only younger ones than this: for the next page. Default from the oldest.</summary>
    public ListPlace? After { get; init; }

    /// <summary>At most so many. Default 100.</summary>
    public int Limit { get; init; } = 100;
}

/// <summary>How far receivers are with slices that are delivered message by message, and the messages that one refused for good.</summary>
public sealed class DeliveryStore(NpgsqlDataSource data, PayloadCodec codec, DestinationStore destinations)
{
    private readonly ExportDatabase _database = new(data, "sql/deliveries.sql");

    /// <summary>Dead letters, the oldest first.</summary>
    public Task<IReadOnlyList<DeadLetterView>> ListAsync(DeadLetterFilter filter, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filter);
        return ListAsync(filter, null, cancellationToken);
    }

    /// <summary>A dead letter of a project.</summary>
    /// <exception cref="UserErrorException">There is none of this id in the project.</exception>
    internal async Task<DeadLetterView> GetAsync(Guid deadLetterId, string project, CancellationToken cancellationToken) =>
        (await ListAsync(new DeadLetterFilter { Project = project, All = true, Limit = 1 }, deadLetterId, cancellationToken).ConfigureAwait(false)) is [var letter]
            ? letter
            : throw new UserErrorException("id", $"There is no dead letter {deadLetterId}.", "See `exporter dead-letter list --all`.", reason: UserErrorReason.NotFound);

    /// <summary>Sends all pending dead letters of an export again; the first that is refused again ends it.</summary>
    /// <returns>How many were sent.</returns>
    internal async Task<int> ResendAllAsync(string project, string export, CancellationToken cancellationToken)
    {
        var sent = 0;
        var pending = new DeadLetterFilter { Project = project, BatchExport = export };
        while (await ListAsync(pending, cancellationToken).ConfigureAwait(false) is { Count: > 0 } letters)
        {
            foreach (var letter in letters)
            {
                sent += await ResendAsync(letter.DeadLetterId, cancellationToken).ConfigureAwait(false) ? 1 : 0;
            }
        }

        return sent;
    }

    private Task<IReadOnlyList<DeadLetterView>> ListAsync(DeadLetterFilter filter, Guid? id, CancellationToken cancellationToken) =>
        _database.ViewsAsync<DeadLetterView>(
            "ListDeadLetters",
            new
            {
                filter.Project, filter.BatchExport, filter.RunId, filter.All, Id = id, AfterAt = filter.After?.CreatedAt.UtcDateTime, AfterId = filter.After?.Id, filter.Limit,
            },
            cancellationToken);

    /// <summary>Sends a dead letter again, under the id that it had; it stays when it is refused again.</summary>
    /// <returns>False when it is not there, or was sent already.</returns>
    /// <exception cref="Exception">The receiver refused it again, or cannot be reached; what the destination's Classify knows.</exception>
    public Task<bool> ResendAsync(Guid deadLetterId, CancellationToken cancellationToken = default) => _database.InTransactionAsync(
        async transaction =>
        {
            var parameters = new { Id = deadLetterId };
            if (await _database.FirstAsync<Locked>(transaction, "LockDeadLetter", parameters, cancellationToken).ConfigureAwait(false) is not { } letter)
            {
                return false;
            }

            var configured = await destinations.LoadAsync(letter.DestinationId, cancellationToken).ConfigureAwait(false);
            var destination = DestinationKinds.Open(configured, new FormatOptions());
            await using var closing = destination.ConfigureAwait(false);
            var webhook = destination as WebhookDestination ?? throw new InvalidOperationException($"{configured} has no receivers.");
            var body = codec.Read<byte[]>(letter.Body, Place(deadLetterId));
            try
            {
                await webhook.ResendAsync(letter.ReceiverKey, letter.MessageId, body, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception error) when (webhook.Classify(error) is { Kind: ErrorKind.User } sorted && error is not UserErrorException)
            {
                throw new UserErrorException(sorted.Setting!, sorted.Message, sorted.Advice!, error);
            }

            await _database.ExecuteAsync(transaction, "MarkResent", parameters, cancellationToken).ConfigureAwait(false);
            return true;
        },
        cancellationToken);

    /// <summary>Throws a dead letter away: its rows will not be delivered.</summary>
    /// <returns>False when it is not there.</returns>
    public async Task<bool> DeleteAsync(Guid deadLetterId, CancellationToken cancellationToken = default) =>
        await _database.ExecuteAsync("DeleteDeadLetter", new { Id = deadLetterId }, cancellationToken).ConfigureAwait(false) == 1;

    /// <summary>Encrypts the bodies of dead letters again that are not under the ring's newest key.</summary>
    /// <returns>How many there are, and how many were encrypted again.</returns>
    public async Task<(int Seen, int Rotated)> RotateAsync(CancellationToken cancellationToken = default)
    {
        var (seen, rotated) = (0, 0);
        var last = Guid.Empty;
        while (await _database.ListAsync<Stored>("NextBodies", new { After = last }, cancellationToken).ConfigureAwait(false) is { Count: > 0 } letters)
        {
            foreach (var letter in letters.Where(letter => codec.NeedsRotation(letter.Body)))
            {
                var body = codec.Read<byte[]>(letter.Body, Place(letter.Id));
                rotated += await _database.ExecuteAsync(
                    "ReplaceBody", new { letter.Id, Old = letter.Body, New = codec.Write(body, Place(letter.Id)) }, cancellationToken).ConfigureAwait(false);
            }

            seen += letters.Count;
            last = letters[^1].Id;
        }

        return (seen, rotated);
    }

    /// <summary>Records how far a slice is; in the transaction of its checkpoint.</summary>
    internal async Task RecordAsync(NpgsqlTransaction transaction, Guid runId, int slice, SliceDelivery delivery, CancellationToken cancellationToken)
    {
        await _database.ExecuteAsync(
            transaction,
            "RecordOffsets",
            new
            {
                RunId = runId,
                Slice = slice,
                Receivers = delivery.Offsets.Select(offset => offset.Receiver).ToArray(),
                Messages = delivery.Offsets.Select(offset => offset.Messages).ToArray(),
                Rows = delivery.Offsets.Select(offset => offset.Rows).ToArray(),
            },
            cancellationToken).ConfigureAwait(false);
        foreach (var letter in delivery.DeadLetters)
        {
            var id = Guid.CreateVersion7();
            await _database.ExecuteAsync(
                transaction,
                "InsertDeadLetter",
                new
                {
                    Id = id,
                    RunId = runId,
                    Slice = slice,
                    letter.Number,
                    letter.MessageId,
                    letter.Receiver,
                    letter.ReceiverKey,
                    letter.Rows,
                    letter.Status,
                    letter.Reason,
                    Body = codec.Write(letter.Body.ToArray(), Place(id)),
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    private static string Place(Guid id) => $"dead letter {id} body";

    private sealed class Stored
    {
        public required Guid Id { get; init; }

        public required byte[] Body { get; init; }
    }

    private sealed class Locked
    {
        public required string MessageId { get; init; }

        public required string ReceiverKey { get; init; }

        public required byte[] Body { get; init; }

        public required Guid DestinationId { get; init; }
    }
}

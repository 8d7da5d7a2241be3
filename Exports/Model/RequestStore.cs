using Exporter.Engine.Payloads;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>
/// Requests with an idempotency key, recorded before their work. Its first change marks the request as committed, in the change's own transaction and
/// under the epoch of whoever works at it: what was broken off before is taken over and done, what was broken off after is known to be done.
/// </summary>
internal sealed class RequestStore(NpgsqlDataSource data, PayloadCodec codec)
{
    /// <summary>How long a request is left to whoever began it.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>How long a key is remembered.</summary>
    public static readonly TimeSpan Kept = TimeSpan.FromDays(1);

    private readonly ExportDatabase _database = new(data, "sql/requests.sql");

    /// <summary>Records a request, or takes over one that was broken off.</summary>
    /// <returns>What to work under; or else what is there.</returns>
    public async Task<(RequestMark? Mark, EarlierRequest? Earlier)> BeginAsync(string actor, string key, byte[] hash, CancellationToken cancellationToken)
    {
        await _database.ExecuteAsync("ForgetOldRequests", new { Kept }, cancellationToken).ConfigureAwait(false);
        while (true)
        {
            if (await _database.FirstAsync<Begun>("BeginRequest", new { Actor = actor, Key = key, Hash = hash, Patience }, cancellationToken).ConfigureAwait(false) is { } begun)
            {
                return (new RequestMark(begun.RequestId, begun.Epoch), null);
            }

            // It may be forgotten between the two statements; then it is begun after all.
            if (await _database.FirstAsync<Found>("FindRequest", new { Actor = actor, Key = key }, cancellationToken).ConfigureAwait(false) is { } found)
            {
                return (null, new EarlierRequest(
                    found.Hash.AsSpan().SequenceEqual(hash),
                    found.Committed,
                    found.SubjectKind,
                    found.SubjectId,
                    found.Status,
                    found.Answer is { } answer ? codec.Read<KeptAnswer>(answer, Place(found.RequestId)) : null));
            }
        }
    }

    /// <summary>Keeps the answer.</summary>
    /// <param name="mark">The request.</param>
    /// <param name="status">The answer's status.</param>
    /// <param name="answer">The answer; null when it is not to be kept.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task FinishAsync(RequestMark mark, int status, KeptAnswer? answer, CancellationToken cancellationToken) => _database.ExecuteAsync(
        "FinishRequest",
        new { mark.RequestId, mark.Epoch, Status = status, Answer = answer is null ? null : codec.Write(answer, Place(mark.RequestId)) },
        cancellationToken);

    /// <summary>Forgets a request that was refused, unless it has changed something.</summary>
    /// <returns>Whether it is forgotten.</returns>
    public async Task<bool> ForgetAsync(RequestMark mark, CancellationToken cancellationToken) =>
        await _database.ExecuteAsync("ForgetRequest", new { mark.RequestId, mark.Epoch }, cancellationToken).ConfigureAwait(false) == 1;

    /// <summary>Forgets the answers, so that no key is needed to read them: who asks again is told that it is done.</summary>
    public Task ForgetAnswersAsync(CancellationToken cancellationToken) => _database.ExecuteAsync("ForgetAnswers", new { }, cancellationToken);

    private static string Place(Guid id) => $"request {id} answer";

    private sealed class Begun
    {
        public Guid RequestId { get; init; }

        public long Epoch { get; init; }
    }

    private sealed class Found
    {
        public Guid RequestId { get; init; }

        public byte[] Hash { get; init; } = [];

        public bool Committed { get; init; }

        public string? SubjectKind { get; init; }

        public Guid? SubjectId { get; init; }

        public int? Status { get; init; }

        public byte[]? Answer { get; init; }
    }
}

/// <summary>A request that came before under the same key.</summary>
/// <param name="IsSame">Whether it asked for the same.</param>
/// <param name="Committed">Whether it has changed something.</param>
/// <param name="SubjectKind">What it changed first.</param>
/// <param name="SubjectId">Its id.</param>
/// <param name="Status">The answer's status; null while there is none.</param>
/// <param name="Answer">The answer, where it was kept.</param>
internal sealed record EarlierRequest(bool IsSame, bool Committed, string? SubjectKind, Guid? SubjectId, int? Status, KeptAnswer? Answer);

/// <summary>An answer as it is kept.</summary>
internal sealed record KeptAnswer(string? Body, string? ETag, string? Location);

/// <summary>The request that is worked at; whatever it changes marks it, through <see cref="AuditLog"/>.</summary>
internal sealed class RequestMark(Guid requestId, long epoch)
{
    private static readonly AsyncLocal<RequestMark?> Ambient = new();

    public Guid RequestId { get; } = requestId;

    public long Epoch { get; } = epoch;

    /// <summary>The request of this flow of control; null outside of one with an idempotency key.</summary>
    public static RequestMark? Current
    {
        get => Ambient.Value;
        set => Ambient.Value = value;
    }
}

/// <summary>Somebody else works at the request now; nothing of this one's change was made.</summary>
internal sealed class RequestTakenOverException() : Exception("The request was taken over, since it took too long; ask again under the same key.");

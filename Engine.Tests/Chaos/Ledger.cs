using Dapper;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>A line of the ledger, in the order of its sequence.</summary>
internal sealed record LedgerLine(long Seq, Guid RunId, string Key, int Stage, int Place, string Kind, long Epoch, int Attempt, string Output);

/// <summary>
/// What really happened, written down beside the engine, in a database on a server of its own that no fault touches. A line is
/// there before the call returns, so whatever happens after it has a higher number.
/// </summary>
internal sealed class Ledger(string connectionString) : IAsyncDisposable
{
    /// <summary>A step's code is about to begin.</summary>
    public const string Began = "began";

    /// <summary>A step's code has ended, with this output; it is not recorded yet.</summary>
    public const string Ended = "ended";

    /// <summary>The workflow's code was given this output: it is recorded.</summary>
    public const string Used = "used";

    public const string Table = """
        create table line (
          seq bigint generated always as identity primary key, run_id uuid not null, key text not null, stage int not null, place int not null,
          kind text not null, epoch bigint not null, attempt int not null, output text not null);
        """;

    private readonly NpgsqlDataSource _data = NpgsqlDataSource.Create(connectionString);

    /// <summary>Whether steps take long, so that whoever takes a run over meets the old holder in the same step.</summary>
    public bool IsSlow { get; init; }

    public async Task WriteAsync(Guid runId, string key, int stage, int place, string kind, long epoch, int attempt, string output)
    {
        await using var connection = await _data.OpenConnectionAsync();
        await connection.ExecuteAsync(
            """
            insert into line (run_id, key, stage, place, kind, epoch, attempt, output)
            values (@runId, @key, @stage, @place, @kind, @epoch, @attempt, @output)
            """,
            new { runId, key, stage, place, kind, epoch, attempt, output });
    }

    public async Task<List<LedgerLine>> ReadAsync()
    {
        await using var connection = await _data.OpenConnectionAsync();
        return (await connection.QueryAsync<LedgerLine>("select seq, run_id as RunId, key, stage, place, kind, epoch, attempt, output from line order by seq")).AsList();
    }

    public ValueTask DisposeAsync() => _data.DisposeAsync();
}

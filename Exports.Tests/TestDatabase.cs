using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Tests;

/// <summary>A database with both schemas, for one test, and the stores on it.</summary>
internal sealed class TestDatabase : IAsyncDisposable
{
    private TestDatabase(string connectionString)
    {
        ConnectionString = connectionString;
        Data = NpgsqlDataSource.Create(connectionString);
        Codec = new PayloadCodec(KeyRing.Parse(Key));
        Engine = new EngineClient(Data, Codec);
        Destinations = new DestinationStore(Data, Codec);
        Exports = new BatchExportStore(Data, Engine, new ScheduleClient(Data, Codec));
        Runs = new RunStore(Data);
        Control = new RunControl(Data, Engine, Runs);
        Attempts = new AttemptStore(Data);
        Backfills = new BackfillStore(Data, Engine, Runs);
    }

    public string ConnectionString { get; }

    public string Key { get; } = KeyRing.NewKey();

    public NpgsqlDataSource Data { get; }

    public PayloadCodec Codec { get; }

    public EngineClient Engine { get; }

    public DestinationStore Destinations { get; }

    public BatchExportStore Exports { get; }

    public RunStore Runs { get; }

    public RunControl Control { get; }

    public AttemptStore Attempts { get; }

    public BackfillStore Backfills { get; }

    public static TestDatabase Of(string connectionString) => new(connectionString);

    public static async Task<TestDatabase> NewAsync() => new(await TestServers.NewMigratedAsync());

    public async Task<T?> ScalarAsync<T>(string sql, object? parameters = null)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<T>(sql, parameters);
    }

    public async Task<int> ExecuteAsync(string sql, object? parameters = null)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteAsync(sql, parameters);
    }

    public async Task InTransactionAsync(Func<NpgsqlTransaction, Task> body)
    {
        await using var connection = await Data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await body(transaction);
        await transaction.CommitAsync();
    }

    public ValueTask DisposeAsync() => Data.DisposeAsync();
}

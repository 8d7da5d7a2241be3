using Dapper;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Executes the statements of one file; rows come as the JSON of the views, which the records are read from.</summary>
internal sealed class ExportDatabase(NpgsqlDataSource data, string resource)
{
    private readonly SqlFile _sql = SqlFile.Load(typeof(ExportDatabase).Assembly, resource);

    /// <summary>Commits what the body did, unless it throws.</summary>
    public Task<T> InTransactionAsync<T>(Func<NpgsqlTransaction, Task<T>> body, CancellationToken cancellationToken) =>
        TryInTransactionAsync(async transaction => (await body(transaction).ConfigureAwait(false), true), cancellationToken);

    /// <summary>Commits what the body did when it says so; else, and when it throws, nothing of it was.</summary>
    public async Task<T> TryInTransactionAsync<T>(Func<NpgsqlTransaction, Task<(T Result, bool Commit)>> body, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = transaction.ConfigureAwait(false);
        var (result, commit) = await body(transaction).ConfigureAwait(false);
        await (commit ? transaction.CommitAsync(cancellationToken) : transaction.RollbackAsync(cancellationToken)).ConfigureAwait(false);
        return result;
    }

    public Task<int> ExecuteAsync(NpgsqlTransaction transaction, string name, object parameters, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(Command(name, parameters, transaction, cancellationToken));

    public async Task<int> ExecuteAsync(string name, object parameters, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        return await connection.ExecuteAsync(Command(name, parameters, null, cancellationToken)).ConfigureAwait(false);
    }

    public Task<T?> FirstAsync<T>(NpgsqlTransaction transaction, string name, object parameters, CancellationToken cancellationToken) =>
        transaction.Connection!.QueryFirstOrDefaultAsync<T>(Command(name, parameters, transaction, cancellationToken));

    public async Task<T?> FirstAsync<T>(string name, object parameters, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        return await connection.QueryFirstOrDefaultAsync<T>(Command(name, parameters, null, cancellationToken)).ConfigureAwait(false);
    }

    public async Task<T?> ViewAsync<T>(NpgsqlTransaction transaction, string name, object parameters, CancellationToken cancellationToken)
        where T : class =>
        await FirstAsync<string>(transaction, name, parameters, cancellationToken).ConfigureAwait(false) is { } json ? ExportJson.Read<T>(json) : null;

    public async Task<T?> ViewAsync<T>(string name, object parameters, CancellationToken cancellationToken)
        where T : class =>
        await FirstAsync<string>(name, parameters, cancellationToken).ConfigureAwait(false) is { } json ? ExportJson.Read<T>(json) : null;

    public async Task<IReadOnlyList<T>> ViewsAsync<T>(string name, object parameters, CancellationToken cancellationToken)
    {
        var rows = await ListAsync<string>(name, parameters, cancellationToken).ConfigureAwait(false);
        return [.. rows.Select(ExportJson.Read<T>)];
    }

    public async Task<IReadOnlyList<T>> ListAsync<T>(string name, object parameters, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        return (await connection.QueryAsync<T>(Command(name, parameters, null, cancellationToken)).ConfigureAwait(false)).AsList();
    }

    public async Task<IReadOnlyList<T>> ListAsync<T>(NpgsqlTransaction transaction, string name, object parameters, CancellationToken cancellationToken) =>
        (await transaction.Connection!.QueryAsync<T>(Command(name, parameters, transaction, cancellationToken)).ConfigureAwait(false)).AsList();

    private CommandDefinition Command(string name, object parameters, NpgsqlTransaction? transaction, CancellationToken cancellationToken) =>
        new(_sql[name], parameters, transaction, cancellationToken: cancellationToken);
}

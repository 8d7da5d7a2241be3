using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>
/// Keeps statements that are executed often prepared in the sessions of a pool that the application has made, which saves most of
/// the time of a short one; where that is possible: behind a pooler a prepared statement may be left in another's session, so the
/// first statement of all looks whether the server's process is the one that the session was told of.
/// </summary>
internal sealed class PreparedStatements
{
    private volatile string? _possible;

    /// <summary>Prepares the command, unless its session has it already.</summary>
    public async Task PrepareAsync(NpgsqlCommand command, CancellationToken cancellationToken)
    {
        var connection = command.Connection!;
        _possible ??= await IsPossibleAsync(connection, cancellationToken).ConfigureAwait(false) ? "yes" : "no";
        if (_possible == "yes")
        {
            await command.PrepareAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<bool> IsPossibleAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var settings = new NpgsqlConnectionStringBuilder(connection.ConnectionString);
        if (settings.Multiplexing || settings.ShouldSerialize("Max Auto Prepare"))
        {
            return false;
        }

        var command = new NpgsqlCommand("select pg_backend_pid()", connection);
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is int process && process == connection.ProcessID;
    }
}

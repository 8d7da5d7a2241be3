using System.Net.Sockets;
using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>Which errors of PostgreSQL pass by themselves: lost connections, restarts, deadlocks, too many clients, a pooler's own.</summary>
internal static class TransientErrors
{
    public static bool Include(Exception error) => error switch
    {
        PostgresException postgres => postgres.IsTransient || postgres.SqlState is
            PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow
            or "25P03" or PostgresErrorCodes.QueryCanceled
            // A pooler whose server is away, or that has no connection left, says so and hangs up.
            || postgres is { SqlState: PostgresErrorCodes.ProtocolViolation, InvariantSeverity: "FATAL" },
        NpgsqlException npgsql => npgsql.IsTransient || npgsql.InnerException is IOException or SocketException or TimeoutException or null,
        IOException or SocketException or TimeoutException => true,
        // Npgsql reports a connection that breaks between two of its own calls so.
        InvalidOperationException or ObjectDisposedException => error.Source == "Npgsql",
        _ => false,
    };
}

using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>
/// The sessions in which slices are written say so in their <c>application_name</c>, so that one can be ended from another. A process that is
/// frozen in mid-COPY keeps its session, and with it a lock on the table, for as long as it sleeps: no time limit of the server's counts while
/// it waits for rows.
/// </summary>
internal static class SliceSessions
{
    /// <summary>The name of the session of one claim of a slice; of one slice they sort as the claims do.</summary>
    public static string NameOf(SliceAddress address, long claim)
    {
        var slice = string.Create(CultureInfo.InvariantCulture, $"{address.Export}\0{address.Interval.ToKey()}\0{address.Slice}");
        var hash = BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(slice)));
        return string.Create(CultureInfo.InvariantCulture, $"exporter {hash:x16} {claim:D19}");
    }

    /// <summary>Ends the sessions of a slice whose claims are older; what they have not committed is rolled back.</summary>
    public static async Task EndOlderAsync(NpgsqlConnection connection, SliceAddress address, long claim, CancellationToken cancellationToken)
    {
        var end = Statements.Command(
            connection,
            null,
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
              and application_name collate "C" >= $1 and application_name collate "C" < $2
            """,
            NameOf(address, 0),
            NameOf(address, claim));
        await using var disposing = end.ConfigureAwait(false);
        try
        {
            await end.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            // Where even one's own sessions may not be ended, they end with their processes.
        }
    }
}

using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests;

/// <summary>A database that is migrated once and then copied for each test, which is much quicker than migrating each.</summary>
internal sealed class MigratedTemplate(Func<string, Task> migrate)
{
    private static readonly SemaphoreSlim One = new(1);
    private string? _name;

    /// <summary>The connection string of a new copy.</summary>
    public async Task<string> CopyAsync(string server)
    {
        // One at a time: PostgreSQL refuses a copy while another session is in the template.
        await One.WaitAsync();
        try
        {
            if (_name is null)
            {
                var template = new NpgsqlConnectionStringBuilder(await LocalPostgres.CreateDatabaseAsync(server)) { Pooling = false };
                await migrate(template.ConnectionString);
                _name = template.Database;
            }

            return Small(await LocalPostgres.CreateDatabaseAsync(server, null, _name));
        }
        finally
        {
            One.Release();
        }
    }

    /// <summary>The same with a pool that leaves connections to others.</summary>
    public static string Small(string connectionString) => new NpgsqlConnectionStringBuilder(connectionString) { MaxPoolSize = 20 }.ConnectionString;
}

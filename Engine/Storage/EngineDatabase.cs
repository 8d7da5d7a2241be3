using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>The engine's database, and the connections that its parts use.</summary>
internal sealed class EngineDatabase(string connectionString)
{
    /// <summary>One connection that is held for good, outside any pool.</summary>
    public string ListenConnectionString => new NpgsqlConnectionStringBuilder(connectionString)
    {
        Pooling = false, ApplicationName = "exporter listen", KeepAlive = 0,
    }.ConnectionString;

    /// <summary>A pool whose sessions carry the worker's id, so that others can end them once it is lost.</summary>
    public NpgsqlDataSource OpenFor(Guid workerId, int connections)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = $"exporter {workerId}", MaxPoolSize = connections, MinPoolSize = 0,
        };
        if (builder.MaxAutoPrepare == 0)
        {
            builder.MaxAutoPrepare = 50;
            builder.AutoPrepareMinUsages = 2;
        }

        return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
    }
}

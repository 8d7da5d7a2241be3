using Exporter.Engine.Storage;

namespace Exporter.Engine.Tests.Storage;

/// <summary>A renewal of the lease as a worker's thread does it.</summary>
internal static class Renewal
{
    public static Task<bool> RenewAsync(this WorkerStore store, TimeSpan lease) => Task.Run(() =>
    {
        using var connection = store.Connect();
        return store.Renew(connection, lease, executing: 1, stopping: false, refused: 0);
    });
}

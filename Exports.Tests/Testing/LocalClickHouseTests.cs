using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Testing;

/// <summary>The server that tests and the demo start.</summary>
public sealed class LocalClickHouseTests
{
    [Test]
    public async Task A_server_keeps_its_data_over_a_kill_and_another_runs_beside_it()
    {
        await using var server = await LocalClickHouse.StartAsync();
        await using var other = await LocalClickHouse.StartAsync();
        await server.ExecuteAsync("CREATE DATABASE d");
        await server.ExecuteAsync("CREATE TABLE d.kept ENGINE = MergeTree ORDER BY n AS SELECT number AS n FROM numbers(1000)");
        await server.KillAsync();
        await server.StartAsync();
        Assert.That(await server.ExecuteAsync("SELECT count(), sum(n) FROM d.kept"), Is.EqualTo("1000\t499500"));
        Assert.That(await other.ExecuteAsync("SELECT count() FROM system.databases WHERE name = 'd'"), Is.EqualTo("0"));
    }
}

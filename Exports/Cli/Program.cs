using Exporter.Exports.Testing;

namespace Exporter.Exports.Cli;

/// <summary>The <c>exporter</c> program.</summary>
internal static class Program
{
    public static int Main(string[] args) => args is [ClickHouseHost.Command, ..] ? ClickHouseHost.Run(args[1..]) : 0;
}

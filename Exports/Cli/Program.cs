namespace Exporter.Exports.Cli;

/// <summary>The <c>exporter</c> program.</summary>
internal static class Program
{
    public static int Main() => 0;
}

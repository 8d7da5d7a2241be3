namespace Exporter.Engine.Tests.Chaos;

/// <summary>The worker process that chaos tests start, freeze and kill; the test runner itself never calls it.</summary>
internal static class Program
{
    public static int Main(string[] args) => args.Length == 0 ? 2 : 0;
}

using Exporter.Engine.Testing;

namespace Exporter.Engine.Tests.Examples;

/// <summary>
/// The examples of Engine/README.md are tests: what stands between <c>#region README name</c> and <c>#endregion</c> is what the
/// block of that name there says; see <see cref="ReadmeTests"/>.
/// </summary>
internal static class Example
{
    public static Task<TestEngine> StartAsync(Action<EngineBuilder> configure, DateTimeOffset? startAt = null) =>
        TestEngine.StartAsync(configure, new TestEngineOptions { Server = TestPostgres.Server, StartAt = startAt });
}

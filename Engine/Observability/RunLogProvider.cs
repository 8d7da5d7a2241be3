using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Observability;

/// <summary>
/// Brings what a workflow's code writes to its own <see cref="ILogger"/> into the run's log, <c>engine.run_log</c>, beside
/// wherever else the host sends it. Configured as the provider "RunLog"; by default from Information on, without the
/// categories of .NET, Npgsql and the engine itself.
/// </summary>
[ProviderAlias("RunLog")]
internal sealed class RunLogProvider : ILoggerProvider
{
    private static readonly string[] Others = ["Microsoft", "System", "Npgsql", "Exporter.Engine.Workers.", "Exporter.Engine.Scheduling."];
    private static readonly AsyncLocal<Action<LogLevel, string>?> Present = new();

    /// <summary>Where lines of the code that is called from here go.</summary>
    public static void Enter(Action<LogLevel, string> write) => Present.Value = write;

    public static bool TakesByDefault(string? category, LogLevel level) =>
        level >= LogLevel.Information && !Array.Exists(Others, other => category?.StartsWith(other, StringComparison.Ordinal) == true);

    public ILogger CreateLogger(string categoryName) => new RunLogger();

    public void Dispose()
    {
    }

    private sealed class RunLogger : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None && Present.Value is not null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                var text = formatter(state, exception);
                Present.Value!(logLevel, exception is null ? text : $"{text} {ErrorText.Of(exception)}");
            }
        }
    }
}

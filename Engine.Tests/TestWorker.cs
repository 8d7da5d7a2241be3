using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Tests;

/// <summary>A host with one worker on a database of its own, as an application would have it.</summary>
internal sealed class TestWorker : IAsyncDisposable
{
    public const string Queue = "test";
    private readonly IHost _host;
    private bool _stopped;

    private TestWorker(IHost host) => _host = host;

    public EngineClient Client => _host.Services.GetRequiredService<EngineClient>();

    public IServiceProvider Services => _host.Services;

    public WorkerSignals Signals => _host.Services.GetRequiredService<WorkerSignals>();

    public static WorkerOptions Quick { get; } = new()
    {
        Slots = 16,
        LeasePeriod = TimeSpan.FromSeconds(2),
        PollInterval = TimeSpan.FromMilliseconds(100),
        ShutdownGrace = TimeSpan.FromSeconds(5),
        CancelGrace = TimeSpan.FromSeconds(1),
    };

    public static async Task<TestWorker> StartAsync(
        string connectionString, Action<EngineBuilder> workflows, WorkerOptions? options = null, Action<IServiceCollection>? services = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Logging.AddProvider(new TestLog());
        services?.Invoke(builder.Services);
        var engine = builder.Services.AddWorkflowEngine(connectionString);
        workflows(engine);
        engine.AddWorker(Queue, options ?? Quick);
        var worker = new TestWorker(builder.Build());
        await worker._host.StartAsync();
        return worker;
    }

    public async Task StopAsync()
    {
        if (!_stopped)
        {
            _stopped = true;
            await _host.StopAsync(CancellationToken.None);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        if (_host is IAsyncDisposable disposable)
        {
            await disposable.DisposeAsync();
        }
    }

    public static EngineClient ClientOf(NpgsqlDataSource data) => new(data, new PayloadCodec(KeyRing.Empty));
}

/// <summary>Sends the engine's log to the test's output.</summary>
internal sealed class TestLog : ILoggerProvider, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
        {
            TestContext.Out.WriteLine($"{logLevel}: {formatter(state, exception)}");
        }
    }

    public void Dispose()
    {
    }
}

using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Exporter.Engine.Testing;

/// <summary>
/// The real engine for a test: a database of its own, a worker in this process, and a clock that the test moves. A workflow
/// that sleeps 30 days ends a moment after <see cref="AdvanceAsync"/>.
/// </summary>
/// <remarks>
/// <para>
/// The clock goes on as real time does, and jumps when the test says so. It is both the database's clock and the
/// <see cref="TimeProvider"/> of the worker; inject that one into code that is to see the jumps. A jump goes from one due time
/// to the next (timers, retries, timeouts of signals and runs, schedules), and at each the workers first do what has fallen
/// due; so ten sleeps of a day end within one jump of ten days, and a daily schedule fires ten times.
/// </para>
/// <para>
/// Leases are not moved: they go by real time, so a jump loses none. A step's own timeouts are seen at the end of a hop: to
/// let an attempt that hangs run into its <c>StartToClose</c>, advance by that much. A step that is merely slow is waited for
/// for as long as <see cref="TestEngineOptions.Patience"/>, then the clock moves on over it.
/// </para>
/// </remarks>
public sealed class TestEngine : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly List<IHostedService> _started = [];
    private readonly SemaphoreSlim _moving = new(1);
    private readonly LocalPostgres? _local;
    private readonly string _server;
    private readonly TestClock _clock;
    private TestTime _time = null!;

    private TestEngine(ServiceProvider services, TestClock clock, string connectionString, string server, LocalPostgres? local)
    {
        _services = services;
        _clock = clock;
        _server = server;
        _local = local;
        ConnectionString = connectionString;
        Data = services.GetRequiredService<NpgsqlDataSource>();
        Client = services.GetRequiredService<EngineClient>();
        Schedules = services.GetRequiredService<ScheduleClient>();
    }

    /// <summary>Starts, looks at and steers runs.</summary>
    public EngineClient Client { get; }

    /// <summary>Makes and looks at schedules.</summary>
    public ScheduleClient Schedules { get; }

    /// <summary>The engine's database, for rows of the test and for <c>select * from engine.runs</c>.</summary>
    public NpgsqlDataSource Data { get; }

    /// <summary>That database's connection string.</summary>
    public string ConnectionString { get; }

    /// <summary>What was registered with the engine.</summary>
    public IServiceProvider Services => _services;

    /// <summary>What the clock shows.</summary>
    public DateTimeOffset Now => _clock.GetUtcNow();

    /// <summary>Makes the database and starts the worker.</summary>
    /// <param name="configure">Adds the workflows, and what they need to <see cref="EngineBuilder.Services"/>.</param>
    /// <param name="options">Default a PostgreSQL server of its own and one worker for the queue "default".</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="FileNotFoundException">No PostgreSQL server was given and no binaries of one were found.</exception>
    public static async Task<TestEngine> StartAsync(
        Action<EngineBuilder> configure, TestEngineOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(configure);
        options ??= new TestEngineOptions();
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.Patience, TimeSpan.Zero, nameof(options));
        var local = options.Server is null ? await LocalPostgres.StartAsync(null, cancellationToken).ConfigureAwait(false) : null;
        TestEngine? engine = null;
        try
        {
            var server = options.Server ?? local!.ConnectionString;
            var database = await LocalPostgres.CreateDatabaseAsync(server, cancellationToken: cancellationToken).ConfigureAwait(false);
            await EngineSchema.MigrateAsync(database, cancellationToken).ConfigureAwait(false);
            engine = Build(configure, options, database, server, local);
            await engine.StartAsync(options, cancellationToken).ConfigureAwait(false);
            return engine;
        }
        catch
        {
            if (engine is not null)
            {
                await engine.DisposeAsync().ConfigureAwait(false);
            }
            else if (local is not null)
            {
                await local.DisposeAsync().ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>
    /// Lets time pass: whatever falls due on the way happens in its order, and when this returns nothing goes on that does not
    /// wait for more time or for something from outside.
    /// </summary>
    /// <param name="by">How much; zero only waits until nothing goes on. The clock goes a little further, by the real time that
    /// this takes.</param>
    /// <param name="cancellationToken">Ends it on the way.</param>
    public async Task AdvanceAsync(TimeSpan by, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        await _moving.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // What counts is what was jumped, not the real time between: so ten sleeps of a day are within ten days.
            while (await _time.HopAsync(by, cancellationToken).ConfigureAwait(false) is { } hop)
            {
                by -= hop;
            }

            if (by > TimeSpan.Zero)
            {
                await _time.JumpAsync(by, cancellationToken).ConfigureAwait(false);
                await _time.SettleAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _moving.Release();
        }
    }

    /// <summary>Lets time pass until a run is final, from one due time to the next, and answers its output.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="longest">How much time may pass at most. Default 366 days.</param>
    /// <param name="cancellationToken">Ends it on the way.</param>
    /// <exception cref="Workflows.RunFailedException">It ended otherwise than completed.</exception>
    /// <exception cref="KeyNotFoundException">There is no such run.</exception>
    /// <exception cref="InvalidOperationException">It waits for something that no time brings, such as a signal.</exception>
    /// <exception cref="TimeoutException">It is not final within <paramref name="longest"/>.</exception>
    public async Task<TOutput> RunToEndAsync<TOutput>(Guid runId, TimeSpan? longest = null, CancellationToken cancellationToken = default)
    {
        await _moving.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var all = longest ?? TimeSpan.FromDays(366);
            var left = all;
            while (true)
            {
                await _time.SettleAsync(cancellationToken).ConfigureAwait(false);
                var run = await Client.GetAsync(runId, cancellationToken).ConfigureAwait(false)
                    ?? throw new KeyNotFoundException($"There is no run {runId}.");
                if (run.State.IsFinal())
                {
                    return await Client.ResultAsync<TOutput>(runId, cancellationToken).ConfigureAwait(false);
                }

                if (await _time.HopAsync(left, cancellationToken).ConfigureAwait(false) is { } hop)
                {
                    left -= hop;
                    continue;
                }

                throw _time.Next is null
                    ? new InvalidOperationException(
                        $"Run {runId} is {run.State.ToText()}, and nothing falls due by itself: it waits for something from outside, or a step of it hangs.")
                    : new TimeoutException($"Run {runId} is {run.State.ToText()} after {all}; the next thing falls due in {_time.Next}.");
            }
        }
        finally
        {
            _moving.Release();
        }
    }

    /// <summary>Stops the workers and drops the database.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var service in Enumerable.Reverse(_started))
        {
            await service.StopAsync(CancellationToken.None).ConfigureAwait(false);
        }

        await _services.DisposeAsync().ConfigureAwait(false);
        _moving.Dispose();
        if (_local is null)
        {
            await LocalPostgres.DropDatabaseAsync(_server, new NpgsqlConnectionStringBuilder(ConnectionString).Database!).ConfigureAwait(false);
        }
        else
        {
            await _local.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static TestEngine Build(
        Action<EngineBuilder> configure, TestEngineOptions options, string database, string server, LocalPostgres? local)
    {
        var connectionString = new NpgsqlConnectionStringBuilder(database) { MaxPoolSize = 20 }.ConnectionString;
        var clock = new TestClock();
        var services = new ServiceCollection();
        services.AddSingleton<TimeProvider>(clock);
        var builder = services.AddWorkflowEngine(connectionString, options.Codec ?? new PayloadCodec(KeyRing.Empty));
        configure(builder);
        if (!services.Any(service => service.ServiceType == typeof(WorkSignal)))
        {
            builder.AddWorker(options.Queue, options.Worker);
        }

        services.TryAddSingleton(typeof(ILogger<>), typeof(NullLogger<>));
        return new TestEngine(services.BuildServiceProvider(), clock, connectionString, server, local);
    }

    private async Task StartAsync(TestEngineOptions options, CancellationToken cancellationToken)
    {
        var hosted = _services.GetServices<IHostedService>().ToList();
        _time = new TestTime(
            Data,
            _clock,
            [.. hosted.OfType<Worker>()],
            ActivatorUtilities.CreateInstance<ScheduleFirer>(_services),
            options.Patience,
            hosted.OfType<Worker>().Select(worker => worker.LeasePeriod).DefaultIfEmpty(options.Worker.LeasePeriod).Min());
        if (options.StartAt is { } start)
        {
            await _time.JumpAsync(start - _clock.GetUtcNow(), cancellationToken).ConfigureAwait(false);
        }

        foreach (var service in hosted)
        {
            await service.StartAsync(cancellationToken).ConfigureAwait(false);
            _started.Add(service);
        }
    }
}

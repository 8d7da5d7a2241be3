using System.Data.Common;
using System.Globalization;
using ClickHouse.Driver.ADO;
using Exporter.Exports.Destinations;
using Microsoft.Extensions.Logging;
using Polly;
using Polly.Retry;

namespace Exporter.Exports.Sources;

/// <summary>One ClickHouse server, and how many queries of this process it answers now.</summary>
internal sealed class SourceHost(string name, ClickHouseClientSettings settings, int queries)
{
    private static readonly TimeSpan LongestRest = TimeSpan.FromMinutes(1);
    private int _failures;
    private long _restsUntil;

    /// <summary>Host and port.</summary>
    public string Name { get; } = name;

    /// <summary>How to connect.</summary>
    public ClickHouseClientSettings Settings { get; } = settings;

    /// <summary>One for each query at once.</summary>
    public SemaphoreSlim Slots { get; } = new(queries);

    /// <summary>Until when others are asked first, since it could not be reached.</summary>
    public DateTimeOffset RestsUntil => new(Interlocked.Read(ref _restsUntil), TimeSpan.Zero);

    public void Worked()
    {
        Interlocked.Exchange(ref _failures, 0);
        Interlocked.Exchange(ref _restsUntil, 0);
    }

    public void Failed(DateTimeOffset now)
    {
        var failures = Interlocked.Increment(ref _failures);
        var rest = TimeSpan.FromSeconds(Math.Pow(2, Math.Min(failures, 10) - 1));
        Interlocked.Exchange(ref _restsUntil, (now + (rest < LongestRest ? rest : LongestRest)).UtcTicks);
    }
}

/// <summary>
/// The hosts of a source in order of preference. A query goes to the first one that can be reached; one that could not is left
/// alone for a while that grows, then it is preferred again. When none can be reached, all are tried again after growing waits.
/// </summary>
internal sealed class SourceHosts : IDisposable
{
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly ResiliencePipeline _again;

    public SourceHosts(ClickHouseOptions options, HttpClient http, TimeProvider time, ILogger log)
    {
        _time = time;
        _log = log;
        All = [.. ConnectionStrings(options.ConnectionString).Select(one => new SourceHost(one.Name, Settings(one.Text, options, http), options.MaxQueriesPerHost))];
        var again = new ResiliencePipelineBuilder { TimeProvider = time };
        _again = options.ConnectAttempts == 1 ? ResiliencePipeline.Empty : again.AddRetry(new RetryStrategyOptions
        {
            ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Exception is { } error && SourceErrors.IsOfConnection(error)),
            MaxRetryAttempts = options.ConnectAttempts - 1,
            BackoffType = DelayBackoffType.Exponential,
            Delay = TimeSpan.FromMilliseconds(250),
            MaxDelay = TimeSpan.FromSeconds(10),
            UseJitter = true,
        }).Build();
    }

    /// <summary>In order of preference.</summary>
    public IReadOnlyList<SourceHost> All { get; }

    public void Dispose()
    {
        foreach (var host in All)
        {
            host.Slots.Dispose();
        }
    }

    /// <summary>Asks the first host that can be reached. What else goes wrong is the caller's.</summary>
    public Task<T> AskAsync<T>(Func<SourceHost, CancellationToken, Task<T>> ask, CancellationToken cancellationToken) =>
        _again.ExecuteAsync(async token => await FirstAsync(ask, token).ConfigureAwait(false), cancellationToken).AsTask();

    private async Task<T> FirstAsync<T>(Func<SourceHost, CancellationToken, Task<T>> ask, CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow();
        var rested = All.Where(host => host.RestsUntil <= now).ToList();
        var candidates = rested.Count > 0 ? [.. rested, .. All.Except(rested)] : All.OrderBy(host => host.RestsUntil).ToList();
        for (var i = 0; ; i++)
        {
            var host = candidates[i];
            try
            {
                var answer = await ask(host, cancellationToken).ConfigureAwait(false);
                host.Worked();
                return answer;
            }
            catch (Exception error) when (SourceErrors.IsOfConnection(error) && !cancellationToken.IsCancellationRequested)
            {
                host.Failed(_time.GetUtcNow());
                SourceLog.Unreachable(_log, host.Name, error.Message);
                if (i == candidates.Count - 1)
                {
                    throw;
                }
            }
        }
    }

    private static IEnumerable<(string Name, string Text)> ConnectionStrings(string text)
    {
        DbConnectionStringBuilder given;
        try
        {
            given = new DbConnectionStringBuilder { ConnectionString = text };
        }
        catch (ArgumentException error)
        {
            throw Wrong(error.Message);
        }

        var hosts = (given.TryGetValue("Host", out var host) ? host.ToString()! : "localhost").Split(',', StringSplitOptions.TrimEntries);
        foreach (var one in hosts)
        {
            var colon = one.LastIndexOf(':');
            var (name, port) = colon > 0 && !one.EndsWith(']') ? (one[..colon], one[(colon + 1)..]) : (one, null);
            if (name.Length == 0 || (port is not null && !ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            {
                throw Wrong($"\"{one}\" in Host is no host.");
            }

            var single = new DbConnectionStringBuilder { ConnectionString = given.ConnectionString, ["Host"] = name };
            if (port is not null)
            {
                single["Port"] = port;
            }

            yield return ($"{name}:{(single.TryGetValue("Port", out var known) ? known : "8123")}", single.ConnectionString);
        }
    }

    private static ClickHouseClientSettings Settings(string text, ClickHouseOptions options, HttpClient http)
    {
        try
        {
            return new ClickHouseClientSettings(text)
            {
                HttpClient = http,
                // Arrow's own compression is faster than gzip around it.
                UseCompression = false,
                Timeout = options.FirstByteTimeout,
            };
        }
        catch (ArgumentException error)
        {
            throw Wrong(error.Message);
        }
    }

    private static UserErrorException Wrong(string problem) => new(
        "clickhouse", $"The connection string of ClickHouse is wrong: {problem}", "Give Host, Port, Username, Password and Database.");
}

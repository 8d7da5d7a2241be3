using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Sources;

/// <summary>
/// The ClickHouse that rows leave. One for a process; queries run side by side. Every query is read-only, has an id, and its values
/// are bound. Errors of ClickHouse are <see cref="SourceException"/>; what the user has to mend is <see cref="UserErrorException"/>.
/// </summary>
internal sealed class ClickHouseSource : IDisposable
{
    // After a sort ClickHouse would send 65,409 rows at once, which of wide rows is hundreds of MB in every lane.
    private const int MostBatchRows = 8192;

    private readonly ClickHouseOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<ClickHouseSource> _log;
    private readonly HttpClient _http;
    private readonly SourceHosts _hosts;
    private readonly ReplicaDelay _delay;
    private readonly ConcurrentDictionary<string, SourceHost> _running = new(StringComparer.Ordinal);

    public ClickHouseSource(ClickHouseOptions options, TimeProvider time, ILogger<ClickHouseSource> log)
    {
        _options = options.Validate();
        _time = time;
        _log = log;
        _http = new HttpClient(new SocketsHttpHandler
        {
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            PooledConnectionLifetime = TimeSpan.FromMinutes(10),
        })
        {
            Timeout = options.FirstByteTimeout,
        };
        try
        {
            _hosts = new SourceHosts(options, _http, time, log);
            _delay = new ReplicaDelay(ReplicaDelay.MostOf(options, _hosts.All.Count), time, log);
        }
        catch
        {
            _http.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _hosts.Dispose();
        _http.Dispose();
    }

    /// <summary>What each host says, in order of preference.</summary>
    public async IAsyncEnumerable<(string Host, CheckResult Result)> CheckHostsAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var host in _hosts.All)
        {
            yield return (host.Name, await TryAsync("connect", async () =>
            {
                var version = await TextsAsync(host, SourceQuery.Without("SELECT version()"), cancellationToken).ConfigureAwait(false);
                await _delay.CheckAsync(host, "", query => TextsAsync(host, query, cancellationToken)).ConfigureAwait(false);
                return $"ClickHouse {version[0][0]}";
            }).ConfigureAwait(false));
        }
    }

    /// <summary>Tries what an export of the model will do, step by step.</summary>
    public async IAsyncEnumerable<CheckResult> CheckAsync(
        SourceModel model, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var connected = await TryAsync("connect", async () =>
        {
            var version = await AskAsync(SourceQuery.Without("SELECT version()"), cancellationToken).ConfigureAwait(false);
            return $"ClickHouse {version[0][0]}";
        }).ConfigureAwait(false);
        yield return connected;
        if (connected.Ok)
        {
            yield return await TryAsync("read", async () =>
            {
                var columns = await DescribeAsync(model, cancellationToken).ConfigureAwait(false);
                return string.Create(CultureInfo.InvariantCulture, $"{columns.Count} columns");
            }).ConfigureAwait(false);
        }
    }

    /// <summary>The model's columns with their types; proves on the way that table, cursor, key and conditions are what they should be.</summary>
    /// <exception cref="UserErrorException">They are not; names the setting.</exception>
    public Task<IReadOnlyList<DescribedColumn>> DescribeAsync(SourceModel model, CancellationToken cancellationToken) =>
        ModelDescriber.DescribeAsync(model, AskAsync, cancellationToken);

    /// <summary>Rows after dedup by bucket of the cursor column; buckets without rows are left out.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByCursorAsync(
        SourceModel model, DataInterval range, TimeSpan width, CancellationToken cancellationToken) =>
        Counts(await AskAsync(QueryBuilder.CountByCursor(model, range, width), cancellationToken).ConfigureAwait(false));

    /// <summary>Rows after dedup by hash bucket of the key; buckets without rows are left out.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByHashAsync(
        SourceModel model, DataInterval range, int buckets, CancellationToken cancellationToken) =>
        Counts(await AskAsync(QueryBuilder.CountByHash(model, range, buckets), cancellationToken).ConfigureAwait(false));

    /// <summary>Rows after dedup of one slice, and the hash of their keys.</summary>
    public async Task<BucketCount> CountSliceAsync(SourceModel model, Slice slice, CancellationToken cancellationToken) =>
        Counts(await AskAsync(QueryBuilder.CountSlice(model, slice), cancellationToken).ConfigureAwait(false)).FirstOrDefault();

    /// <summary>Rows after dedup of slices that are ranges of the cursor column alone, in order; those without rows are left out. The
    /// number is the slice's start in nanoseconds.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByStartAsync(
        SourceModel model, DataInterval range, IEnumerable<DateTimeOffset> starts, CancellationToken cancellationToken) =>
        Counts(await AskAsync(QueryBuilder.CountByStart(model, range, starts), cancellationToken).ConfigureAwait(false));

    /// <summary>About how many bytes a row of the range has uncompressed; null when there are no rows.</summary>
    public async Task<double?> RowBytesAsync(
        SourceModel model, IReadOnlyList<DescribedColumn> columns, DataInterval range, CancellationToken cancellationToken)
    {
        var texts = await AskAsync(QueryBuilder.RowBytes(model, columns, range), cancellationToken).ConfigureAwait(false);
        var value = double.Parse(texts[0][0], NumberStyles.Float, CultureInfo.InvariantCulture);
        return double.IsFinite(value) ? value : null;
    }

    /// <summary>The cursor of the earliest row that is exported; null when there are none.</summary>
    public async Task<DateTimeOffset?> EarliestAsync(SourceModel model, CancellationToken cancellationToken)
    {
        var texts = await AskAsync(QueryBuilder.Earliest(model), cancellationToken).ConfigureAwait(false);
        return texts[0][0] == "0" ? null : DateTimeOffset.UnixEpoch.AddMicroseconds(long.Parse(texts[0][1], CultureInfo.InvariantCulture));
    }

    /// <summary>Starts a query whose rows come as Arrow batches, on the first host that can be reached and is not behind.</summary>
    /// <param name="query">The query.</param>
    /// <param name="queryId">Its id in ClickHouse; no other running query may have it.</param>
    /// <param name="comment">What stands in <c>system.query_log.log_comment</c>.</param>
    /// <param name="cancellationToken">Kills the query.</param>
    public Task<SourceReader> ReadAsync(SourceQuery query, string queryId, string comment, CancellationToken cancellationToken) =>
        OnHostAsync(query, (host, token) => ReadAsync(host, query, new QueryName(queryId, comment), token), cancellationToken);

    /// <summary>How far a query is that this source has started; null when it does not run.</summary>
    public async Task<QueryProgress?> ProgressAsync(string queryId, CancellationToken cancellationToken) =>
        _running.TryGetValue(queryId, out var host)
            ? QueryProgress.Read(await TextsAsync(host, QueryProgress.Of(queryId), cancellationToken).ConfigureAwait(false)).SingleOrDefault()
            : null;

    /// <summary>How far the queries are whose ids begin so, whoever started them, on all hosts that can be reached.</summary>
    public async Task<IReadOnlyList<QueryProgress>> ProgressOfAllAsync(string queryIdPrefix, CancellationToken cancellationToken)
    {
        var found = new List<QueryProgress>();
        foreach (var host in _hosts.All)
        {
            try
            {
                found.AddRange(QueryProgress.Read(await TextsAsync(host, QueryProgress.OfAll(queryIdPrefix), cancellationToken).ConfigureAwait(false)));
            }
            catch (Exception error) when (SourceErrors.IsOfConnection(error))
            {
                SourceLog.Unreachable(_log, host.Name, error.Message);
            }
        }

        return found;
    }

    private async Task<SourceReader> ReadAsync(SourceHost host, SourceQuery query, QueryName name, CancellationToken cancellationToken)
    {
        await host.Slots.WaitAsync(cancellationToken).ConfigureAwait(false);
        _running[name.Id] = host;
        try
        {
            var stream = await KilledAtTheEndAsync(host, name, () => StartAsync(host, query, name, cancellationToken), cancellationToken).ConfigureAwait(false);
            return await SourceReader.OpenAsync(
                new TailStream(stream, _options.IdleTimeout, _time, Ended), () => KillAsync(host, name.Id), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            Ended();
            throw;
        }

        // Once, though a reader that cannot be opened closes its stream before it throws.
        void Ended()
        {
            if (_running.TryRemove(name.Id, out _))
            {
                host.Slots.Release();
            }
        }
    }

    private async Task<Stream> StartAsync(SourceHost host, SourceQuery query, QueryName name, CancellationToken cancellationToken)
    {
        using var connection = new ClickHouseConnection(host.Settings);
        using var command = Command(connection, query with { Sql = query.Sql + "\nFORMAT ArrowStream" }, name);
        command.CustomSettings.TryAdd("max_block_size", MostBatchRows);
        var result = await command.ExecuteRawResultAsync(cancellationToken).ConfigureAwait(false);
        return await result.ReadAsStreamAsync().ConfigureAwait(false);
    }

    // ClickHouse notices that nobody listens any more only where nothing stands between, and when it next has something to say.
    private async Task<T> KilledAtTheEndAsync<T>(SourceHost host, QueryName name, Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await ask().ConfigureAwait(false);
        }
        catch (Exception error) when (error is OperationCanceledException or TimeoutException)
        {
            await KillAsync(host, name.Id).ConfigureAwait(false);
            if (!cancellationToken.IsCancellationRequested)
            {
                // HttpClient's timeout looks like a cancellation, which nobody asked for.
                throw new TimeoutException($"ClickHouse did not answer within {_options.FirstByteTimeout}.", error);
            }

            throw;
        }
        catch (ClickHouseServerException error)
        {
            throw Failed(error);
        }
    }

    private ClickHouseCommand Command(ClickHouseConnection connection, SourceQuery query, QueryName name)
    {
        var command = connection.CreateCommand(query.Sql);
        command.QueryId = name.Id;
        foreach (var (parameter, value) in query.Parameters)
        {
            // As ClickHouse's HTTP interface takes them: the type stands in the query.
            command.CustomSettings["param_" + parameter] = value;
        }

        foreach (var (setting, value) in QuerySettings.Of(_options))
        {
            command.CustomSettings[setting] = value;
        }

        command.CustomSettings["log_comment"] = name.Comment;
        return command;
    }

    /// <summary>The answer of a small query as texts. It may go to any host, and waits its turn like any other.</summary>
    public Task<List<string[]>> AskAsync(SourceQuery query, CancellationToken cancellationToken) => OnHostAsync(
        query,
        async (host, token) =>
        {
            await host.Slots.WaitAsync(token).ConfigureAwait(false);
            try
            {
                var watch = QueryWatch.Current;
                var name = watch?.Next() ?? QueryName.Next();
                return await KilledAtTheEndAsync(host, name, () => TextsAsync(host, query, name, watch, token), token).ConfigureAwait(false);
            }
            finally
            {
                host.Slots.Release();
            }
        },
        cancellationToken);

    private Task<T> OnHostAsync<T>(SourceQuery query, Func<SourceHost, CancellationToken, Task<T>> ask, CancellationToken cancellationToken) => _hosts.AskAsync(
        async (host, token) =>
        {
            await _delay.CheckAsync(host, query.Table, about => TextsAsync(host, about, token)).ConfigureAwait(false);
            return await ask(host, token).ConfigureAwait(false);
        },
        cancellationToken);

    // Questions about hosts and queries, which are answered at once or not at all.
    private async Task<List<string[]>> TextsAsync(SourceHost host, SourceQuery query, CancellationToken cancellationToken)
    {
        try
        {
            return await TextsAsync(host, query, QueryName.Next(), watch: null, cancellationToken).ConfigureAwait(false);
        }
        catch (ClickHouseServerException error)
        {
            throw Failed(error);
        }
    }

    private async Task<List<string[]>> TextsAsync(
        SourceHost host, SourceQuery query, QueryName name, QueryWatch? watch, CancellationToken cancellationToken)
    {
        using var connection = new ClickHouseConnection(host.Settings);
        using var command = Command(connection, query, name);
        using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        var rows = new List<string[]>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            var row = new string[reader.FieldCount];
            for (var i = 0; i < row.Length; i++)
            {
                row[i] = Convert.ToString(reader.GetValue(i), CultureInfo.InvariantCulture) ?? "";
            }

            rows.Add(row);
        }

        watch?.Add(command.QueryStats);
        return rows;
    }

    private async Task KillAsync(SourceHost host, string queryId)
    {
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10), _time);
            var query = new SourceQuery(
                "KILL QUERY WHERE query_id = {id:String} ASYNC", new Dictionary<string, string> { ["id"] = SourceQuery.Text(queryId) });
            await TextsAsync(host, query, patience.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            // It ends by itself when it notices that nobody reads; that must not hide why it was to be killed.
            SourceLog.NotKilled(_log, queryId, error.Message);
        }
    }

    private static async Task<CheckResult> TryAsync(string step, Func<Task<string>> body)
    {
        try
        {
            return new CheckResult(step, true, await body().ConfigureAwait(false));
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            return new CheckResult(step, false, SourceErrors.Classify(error)?.Message ?? error.Message);
        }
    }

    private static List<BucketCount> Counts(List<string[]> rows) =>
        [.. rows.Select(row => new BucketCount(
            long.Parse(row[0], CultureInfo.InvariantCulture),
            long.Parse(row[1], CultureInfo.InvariantCulture),
            ulong.Parse(row[2], CultureInfo.InvariantCulture)))];

    private static SourceException Failed(ClickHouseServerException error) =>
        SourceException.Parse(error.Message, error) ?? new SourceException(error.ErrorCode, error.Message, error);
}

using System.Globalization;
using System.Net;
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
    private readonly ClickHouseClientSettings _settings;

    public ClickHouseSource(ClickHouseOptions options, TimeProvider time, ILogger<ClickHouseSource> log)
    {
        _options = options;
        _time = time;
        _log = log;
        _http = new HttpClient(new SocketsHttpHandler
        {
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            PooledConnectionLifetime = TimeSpan.FromMinutes(10),
        })
        {
            Timeout = options.FirstByteTimeout,
        };
        try
        {
            _settings = new ClickHouseClientSettings(options.ConnectionString)
            {
                HttpClient = _http,
                // Arrow's own LZ4 is faster than gzip around it.
                UseCompression = false,
                Timeout = options.FirstByteTimeout,
            };
        }
        catch (ArgumentException error)
        {
            _http.Dispose();
            throw new UserErrorException(
                "clickhouse", $"The connection string of ClickHouse is wrong: {error.Message}", "Give Host, Port, Username, Password and Database.");
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Tries what an export of the model will do, step by step.</summary>
    public async IAsyncEnumerable<CheckResult> CheckAsync(
        SourceModel model, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var connected = await TryAsync("connect", async () =>
        {
            var version = await TextsAsync(SourceQuery.Without("SELECT version()"), cancellationToken).ConfigureAwait(false);
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

    /// <summary>The model's columns with their types; proves on the way that the table, the cursor, the key and the filter are there.</summary>
    /// <exception cref="UserErrorException">They are not; names the setting.</exception>
    public async Task<IReadOnlyList<DescribedColumn>> DescribeAsync(SourceModel model, CancellationToken cancellationToken)
    {
        var table = await DescribedAsync("table", QueryBuilder.DescribeTable(model), cancellationToken).ConfigureAwait(false);
        var cursor = await DescribedAsync(
            "cursor_column", QueryBuilder.DescribeExpressions(model, "cursor_column", [QueryBuilder.Quote(model.CursorColumn)]), cancellationToken).ConfigureAwait(false);
        if (!cursor[0].Type.StartsWith("Date", StringComparison.Ordinal))
        {
            throw new UserErrorException(
                "cursor_column",
                $"The column {model.CursorColumn} is of type {cursor[0].Type}.",
                "Name a column of type Date, DateTime or DateTime64 that is not Nullable.");
        }

        if (model.KeyColumns.Count > 0)
        {
            await DescribedAsync("key", QueryBuilder.DescribeExpressions(model, "key", model.KeyColumns.Select(QueryBuilder.Quote)), cancellationToken).ConfigureAwait(false);
        }

        if (model.VersionColumn is { } version)
        {
            await DescribedAsync("version", QueryBuilder.DescribeExpressions(model, "version", [QueryBuilder.Quote(version)]), cancellationToken).ConfigureAwait(false);
        }

        if (model.Filter is not null)
        {
            await DescribedAsync("filter", QueryBuilder.DescribeFilter(model), cancellationToken).ConfigureAwait(false);
        }

        if (model.Columns.Count == 0)
        {
            return [.. table.Select(column => new DescribedColumn(QueryBuilder.Quote(column.Name), column.Name, column.Type))];
        }

        var types = await DescribedAsync(
            "columns", QueryBuilder.DescribeExpressions(model, "columns", model.Columns.Select(column => column.Expression)), cancellationToken).ConfigureAwait(false);
        return [.. model.Columns.Zip(types, (column, described) => new DescribedColumn(column.Expression, column.Alias, described.Type))];
    }

    /// <summary>Rows after dedup by bucket of the cursor column; buckets without rows are left out.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByCursorAsync(
        SourceModel model, DataInterval range, TimeSpan width, CancellationToken cancellationToken) =>
        Counts(await TextsAsync(QueryBuilder.CountByCursor(model, range, width), cancellationToken).ConfigureAwait(false));

    /// <summary>Rows after dedup by hash bucket of the key; buckets without rows are left out.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByHashAsync(
        SourceModel model, DataInterval range, int buckets, CancellationToken cancellationToken) =>
        Counts(await TextsAsync(QueryBuilder.CountByHash(model, range, buckets), cancellationToken).ConfigureAwait(false));

    /// <summary>Rows after dedup of one slice, and the hash of their keys.</summary>
    public async Task<BucketCount> CountSliceAsync(SourceModel model, Slice slice, CancellationToken cancellationToken) =>
        Counts(await TextsAsync(QueryBuilder.CountSlice(model, slice), cancellationToken).ConfigureAwait(false)).FirstOrDefault();

    /// <summary>Rows after dedup of slices that are ranges of the cursor column alone, in order; those without rows are left out. The
    /// number is the slice's start in nanoseconds.</summary>
    public async Task<IReadOnlyList<BucketCount>> CountByStartAsync(
        SourceModel model, DataInterval range, IEnumerable<DateTimeOffset> starts, CancellationToken cancellationToken) =>
        Counts(await TextsAsync(QueryBuilder.CountByStart(model, range, starts), cancellationToken).ConfigureAwait(false));

    /// <summary>About how many bytes a row of the range has uncompressed; null when there are no rows.</summary>
    public async Task<double?> RowBytesAsync(
        SourceModel model, IReadOnlyList<DescribedColumn> columns, DataInterval range, CancellationToken cancellationToken)
    {
        var texts = await TextsAsync(QueryBuilder.RowBytes(model, columns, range), cancellationToken).ConfigureAwait(false);
        var value = double.Parse(texts[0][0], NumberStyles.Float, CultureInfo.InvariantCulture);
        return double.IsFinite(value) ? value : null;
    }

    /// <summary>Starts a query whose rows come as Arrow batches.</summary>
    /// <param name="query">The query.</param>
    /// <param name="queryId">Its id in ClickHouse; no other running query may have it.</param>
    /// <param name="comment">What stands in <c>system.query_log.log_comment</c>.</param>
    /// <param name="cancellationToken">Kills the query.</param>
    public async Task<SourceReader> ReadAsync(SourceQuery query, string queryId, string comment, CancellationToken cancellationToken)
    {
        var kill = () => KillAsync(queryId);
        ClickHouseRawResult result;
        try
        {
            using var connection = new ClickHouseConnection(_settings);
            using var command = Command(connection, query with { Sql = query.Sql + "\nFORMAT ArrowStream" });
            command.QueryId = queryId;
            command.CustomSettings["log_comment"] = comment;
            command.CustomSettings.TryAdd("max_block_size", MostBatchRows);
            result = await command.ExecuteRawResultAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is OperationCanceledException or TimeoutException)
        {
            await kill().ConfigureAwait(false);
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

        var stream = await result.ReadAsStreamAsync().ConfigureAwait(false);
        return await SourceReader.OpenAsync(new TailStream(stream, _options.IdleTimeout, _time), kill, cancellationToken).ConfigureAwait(false);
    }

    private ClickHouseCommand Command(ClickHouseConnection connection, SourceQuery query)
    {
        var command = connection.CreateCommand(query.Sql);
        foreach (var (name, value) in query.Parameters)
        {
            // As ClickHouse's HTTP interface takes them: the type stands in the query.
            command.CustomSettings["param_" + name] = value;
        }

        foreach (var (name, value) in _options.Settings)
        {
            command.CustomSettings[name] = value;
        }

        command.CustomSettings["readonly"] = 2;
        command.CustomSettings["cancel_http_readonly_queries_on_client_close"] = 1;
        // While a destination makes us wait, ClickHouse waits too; its default would break the stream off after 30 s.
        command.CustomSettings["http_send_timeout"] = 3600;
        command.CustomSettings["output_format_arrow_low_cardinality_as_dictionary"] = 0;
        command.CustomSettings["output_format_arrow_string_as_string"] = 1;
        command.CustomSettings["output_format_arrow_fixed_string_as_fixed_byte_array"] = 0;
        // What toJSONString makes of values, here and in expressions: instants in UTC, numbers with every digit.
        command.CustomSettings["date_time_output_format"] = "iso";
        command.CustomSettings["output_format_json_quote_64bit_integers"] = 0;
        command.CustomSettings["output_format_json_quote_decimals"] = 0;
        command.CustomSettings["output_format_json_quote_denormals"] = 0;
        command.CustomSettings["output_format_json_named_tuples_as_objects"] = 1;
        return command;
    }

    private async Task<List<string[]>> TextsAsync(SourceQuery query, CancellationToken cancellationToken)
    {
        try
        {
            using var connection = new ClickHouseConnection(_settings);
            using var command = Command(connection, query);
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

            return rows;
        }
        catch (ClickHouseServerException error)
        {
            throw Failed(error);
        }
    }

    private async Task<List<(string Name, string Type)>> DescribedAsync(string setting, SourceQuery query, CancellationToken cancellationToken)
    {
        try
        {
            return [.. (await TextsAsync(query, cancellationToken).ConfigureAwait(false)).Select(row => (row[0], row[1]))];
        }
        catch (SourceException error) when (SourceErrors.OfQuery(error.Code))
        {
            throw new UserErrorException(setting, $"ClickHouse does not understand \"{setting}\": {error.Text}", "Compare it with the table.", error);
        }
    }

    private async Task KillAsync(string queryId)
    {
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10), _time);
            var query = new SourceQuery(
                "KILL QUERY WHERE query_id = {id:String} ASYNC", new Dictionary<string, string> { ["id"] = queryId });
            await TextsAsync(query, patience.Token).ConfigureAwait(false);
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

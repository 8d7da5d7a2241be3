namespace Exporter.Exports.Sources;

/// <summary>The ClickHouse settings that every query carries.</summary>
internal static class QuerySettings
{
    // Whatever the user's profile or our own options say: an answer is whole, or it is an error. Each of these could otherwise
    // end a result early, or leave a part of the rows out, without a word.
    private static readonly Dictionary<string, object> Whole = new(StringComparer.Ordinal)
    {
        ["timeout_overflow_mode"] = "throw",
        ["timeout_overflow_mode_leaf"] = "throw",
        ["read_overflow_mode"] = "throw",
        ["read_overflow_mode_leaf"] = "throw",
        ["result_overflow_mode"] = "throw",
        ["sort_overflow_mode"] = "throw",
        ["group_by_overflow_mode"] = "throw",
        ["distinct_overflow_mode"] = "throw",
        ["set_overflow_mode"] = "throw",
        ["join_overflow_mode"] = "throw",
        ["transfer_overflow_mode"] = "throw",
        ["skip_unavailable_shards"] = 0,
        ["limit"] = 0,
        ["offset"] = 0,
        ["http_write_exception_in_output_format"] = 0,
    };

    /// <summary>The settings, those that count most last.</summary>
    public static IEnumerable<KeyValuePair<string, object>> Of(ClickHouseOptions options)
    {
        // A Distributed table says that its replicas are behind rather than leave rows out.
        yield return new("fallback_to_stale_replicas_for_distributed_queries", 0);
        yield return new("output_format_arrow_compression_method", options.Compression switch
        {
            WireCompression.Zstd => "zstd",
            WireCompression.None => "none",
            _ => "lz4_frame",
        });
        foreach (var (name, value) in options.Settings)
        {
            yield return new(name, value);
        }

        foreach (var (name, limit) in ((string, long?)[])
        [
            ("max_execution_time", (long?)options.MaxExecutionTime?.TotalSeconds), ("max_memory_usage", options.MaxMemoryUsage), ("max_threads", options.MaxThreads),
        ])
        {
            if (limit is { } given)
            {
                yield return new(name, given);
            }
        }

        foreach (var whole in Whole)
        {
            yield return whole;
        }

        yield return new("readonly", 2);
        yield return new("cancel_http_readonly_queries_on_client_close", 1);
        // While a destination makes us wait, ClickHouse waits too; its default would break the stream off after 30 s.
        yield return new("http_send_timeout", 3600);
        yield return new("output_format_arrow_low_cardinality_as_dictionary", 0);
        yield return new("output_format_arrow_string_as_string", 1);
        yield return new("output_format_arrow_fixed_string_as_fixed_byte_array", 0);
        // What toJSONString makes of values, here and in expressions: instants in UTC, numbers with every digit.
        yield return new("date_time_output_format", "iso");
        yield return new("output_format_json_quote_64bit_integers", 0);
        yield return new("output_format_json_quote_decimals", 0);
        yield return new("output_format_json_quote_denormals", 0);
        yield return new("output_format_json_named_tuples_as_objects", 1);
    }
}

using System.Globalization;
using System.Text;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Formats;

/// <summary>What holds of every format with every compression that it has, read back by programs that did not write it.</summary>
[Parallelizable(ParallelScope.Self)]
public sealed class EncoderContract
{
    private const int BatchRows = 700;

    // 1,400 bytes of text that hardly compresses: several blocks of every codec, several chunks of the stream, and more than one page.
    private const int TextLength = 1_400;

    private static IEnumerable<TestCaseData> All() =>
        from format in Enum.GetValues<FileFormat>()
        from compression in FormatCheck.Compressions(format)
        select new TestCaseData(new FormatOptions { Format = format, Compression = compression, RowGroupRows = 1_000, PageBytes = 64 * 1024 })
            .SetArgDisplayNames(format.ToString(), compression.ToString());

    private static IEnumerable<TestCaseData> Levels() =>
        from format in Enum.GetValues<FileFormat>()
        from compression in FormatCheck.Compressions(format)
        let levels = FormatCheck.Levels(format, compression)
        where levels is not null
        from level in new[] { levels.Value.Least, levels.Value.Most }
        select new TestCaseData(new FormatOptions { Format = format, Compression = compression, CompressionLevel = level })
            .SetArgDisplayNames(format.ToString(), compression.ToString(), level.ToString(CultureInfo.InvariantCulture));

    [TestCaseSource(nameof(All))]
    public async Task Every_row_of_many_batches_is_read_back_by_others(FormatOptions options)
    {
        using var file = FormatFile.Of(options, TestBatches.Schema, Batches(5));
        await ReadByAllAsync(file, 5 * BatchRows);
    }

    [TestCaseSource(nameof(All))]
    public async Task A_slice_without_rows_is_a_file_without_rows(FormatOptions options)
    {
        using var none = FormatFile.Of(options, TestBatches.Schema, []);
        await ReadByAllAsync(none, 0);
        using var empty = FormatFile.Of(options, TestBatches.Schema, [TestBatches.Rows(0, 0), TestBatches.Rows(0, 0)]);
        await ReadByAllAsync(empty, 0);
    }

    [TestCaseSource(nameof(Levels))]
    public async Task The_least_and_the_highest_level_are_what_the_codec_takes(FormatOptions options)
    {
        using var file = FormatFile.Of(options, TestBatches.Schema, Batches(2));
        await ReadByAllAsync(file, 2 * BatchRows);
    }

    [TestCaseSource(nameof(All))]
    public async Task Disposed_of_without_an_end_it_leaves_the_stream_usable_and_the_next_file_whole(FormatOptions options)
    {
        using var output = new ChunkedStream();
        var encoder = EncoderFactory.Create(options, TestBatches.Schema, output);
        using var batch = TestBatches.Rows(0, BatchRows, TextLength);
        encoder.Encode(batch);
        encoder.Dispose();
        encoder.Dispose();
        var written = output.Length;
        output.Write("end"u8);
        using var all = output.TakeAll();
        Assert.That(all.Length, Is.EqualTo(written + 3));

        // What is native in an encoder is its own: the next one starts afresh.
        using var next = FormatFile.Of(options, TestBatches.Schema, Batches(1));
        await ReadByAllAsync(next, BatchRows);
    }

    [TestCaseSource(nameof(All))]
    public void A_repeat_writes_the_same_bytes(FormatOptions options)
    {
        using var first = FormatFile.Of(options, TestBatches.Schema, Batches(2));
        using var second = FormatFile.Of(options, TestBatches.Schema, Batches(2));
        Assert.That(second.Bytes.AsSpan().SequenceEqual(first.Bytes), Is.True);
    }

    private static IEnumerable<RecordBatch> Batches(int count)
    {
        for (var at = 0; at < count; at++)
        {
            using var batch = TestBatches.Rows(at * BatchRows, BatchRows, TextLength);
            yield return batch;
        }
    }

    private static async Task ReadByAllAsync(FormatFile file, int rows)
    {
        var expected = Summary(Enumerable.Range(0, rows / BatchRows).Select(at => TestBatches.Rows(at * BatchRows, BatchRows, TextLength)));
        var server = await TestServers.ClickHouseAsync();
        Assert.That(
            await FormatFile.ClickHouseAsync(
                server,
                $"SELECT count(), ifNull(sum(id), 0), ifNull(sum(length(text)), 0), lower(hex(MD5(arrayStringConcat(arrayMap(x -> x.2, arraySort(groupArray((id, text)))))))) FROM {file.ClickHouseTable("id Int64, text String")}"),
            Is.EqualTo(expected),
            "ClickHouse");
        if (DuckDbTable(file) is { } table)
        {
            var row = (await FormatFile.DuckDbAsync(
                $"SELECT count(*), coalesce(sum(id::BIGINT), 0), coalesce(sum(strlen(text)), 0), md5(coalesce(string_agg(text, '' ORDER BY id::BIGINT), '')) FROM {table}"))[0];
            Assert.That(string.Join('\t', row), Is.EqualTo(expected), "DuckDB");
        }

        if (file.Options.Format is FileFormat.Parquet or FileFormat.Arrow)
        {
            Assert.That(Summary(await file.BatchesAsync()), Is.EqualTo(expected), "Apache Arrow");
        }
    }

    // DuckDB reads neither Arrow files by itself nor text in Brotli or LZ4.
    private static string? DuckDbTable(FormatFile file) => (file.Options.Format, file.Options.Compression) switch
    {
        (FileFormat.Parquet, _) => $"read_parquet('{file.Path}')",
        (FileFormat.Csv, not (Compression.Brotli or Compression.Lz4)) => $"read_csv('{file.Path}', header = true, all_varchar = true)",
        (FileFormat.JsonLines, not (Compression.Brotli or Compression.Lz4)) when file.Bytes.Length > 0 =>
            $"read_json('{file.Path}', format = 'newline_delimited', columns = {{id: 'BIGINT', text: 'VARCHAR'}})",
        _ => null,
    };

#pragma warning disable CA5351 // What both other programs have, too.
    private static string Summary(IEnumerable<RecordBatch> batches)
    {
        var (count, sum, text) = (0L, 0L, new StringBuilder());
        foreach (var batch in batches)
        {
            using (batch)
            {
                count += batch.Length;
                var (ids, texts) = ((Int64Array)batch.Column("id"), (StringArray)batch.Column("text"));
                for (var row = 0; row < batch.Length; row++)
                {
                    sum += ids.GetValue(row)!.Value;
                    text.Append(texts.GetString(row));
                }
            }
        }

        var hash = Convert.ToHexStringLower(System.Security.Cryptography.MD5.HashData(Encoding.UTF8.GetBytes(text.ToString())));
        return string.Create(CultureInfo.InvariantCulture, $"{count}\t{sum}\t{text.Length}\t{hash}");
    }
#pragma warning restore CA5351
}

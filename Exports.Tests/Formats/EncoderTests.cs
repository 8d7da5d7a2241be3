using System.IO.Compression;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
using K4os.Compression.LZ4.Streams;
using ParquetSharp.Arrow;
using ZstdSharp;
using Compression = Exporter.Exports.Model.Compression;

namespace Exporter.Exports.Tests.Formats;

internal sealed class EncoderTests
{
    [Test]
    public async Task Parquet_holds_every_row_in_row_groups_that_are_bounded([Values] Compression compression)
    {
        var bytes = Encode(new FormatOptions { Compression = compression, RowGroupRows = 1_000 }, batches: 7, rows: 700);
        using var file = new ParquetSharp.ParquetFileReader(new MemoryStream(bytes));
        using var reader = new FileReader(new MemoryStream(bytes));
        using var stream = reader.GetRecordBatchReader();
        var ids = new List<long>();
        while (await stream.ReadNextRecordBatchAsync() is { } batch)
        {
            ids.AddRange(((Int64Array)batch.Column("id")).Values);
            batch.Dispose();
        }

        var groups = Enumerable.Range(0, file.FileMetaData.NumRowGroups).Select(at => RowsOfGroup(file, at)).ToArray();
        Assert.That(groups, Is.EqualTo(new long[] { 1_000, 1_000, 1_000, 1_000, 900 }));
        Assert.That(ids, Is.EqualTo(Enumerable.Range(0, 4_900)));
    }

    [TestCase(Compression.Zstd, ".jsonl.zst")]
    [TestCase(Compression.Gzip, ".jsonl.gz")]
    [TestCase(Compression.Brotli, ".jsonl.br")]
    [TestCase(Compression.Lz4, ".jsonl.lz4")]
    [TestCase(Compression.None, ".jsonl")]
    public void Json_lines_hold_every_row_under_every_compression(Compression compression, string extension)
    {
        var options = new FormatOptions { Format = FileFormat.JsonLines, Compression = compression };
        using var input = new MemoryStream(Encode(options, batches: 7, rows: 700));
        using Stream plain = compression switch
        {
            Compression.Zstd => new DecompressionStream(input),
            Compression.Gzip => new GZipStream(input, CompressionMode.Decompress),
            Compression.Brotli => new BrotliStream(input, CompressionMode.Decompress),
            Compression.Lz4 => LZ4Stream.Decode(input),
            _ => input,
        };
        using var reader = new StreamReader(plain);
        var text = reader.ReadToEnd();
        var ids = text.Split('\n')[..^1].Select(line => JsonDocument.Parse(line).RootElement.GetProperty("id").GetInt32());
        Assert.That(text, Does.EndWith("\n"));
        Assert.That(ids, Is.EqualTo(Enumerable.Range(0, 4_900)));
        Assert.That(EncoderFactory.FileExtension(options), Is.EqualTo(extension));
    }

    [Test]
    public async Task Parquet_says_what_it_is_and_is_made_as_it_was_asked_for()
    {
        var address = new SliceAddress("events", new DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddHours(1)), 7, Attempt: 3, FencingToken: 9);
        var plain = await ReadAsync(new FormatOptions());
        Assert.That(plain.Statistics, Is.True);
        var bare = await ReadAsync(new FormatOptions { Dictionary = false, Statistics = false });
        Assert.That((bare.Dictionary, bare.Statistics), Is.EqualTo((false, false)));

        // Every page has a header of its own.
        var small = await ReadAsync(new FormatOptions { Dictionary = false, Statistics = false, PageBytes = 8 * 1024 });
        Assert.That(small.Bytes, Is.GreaterThan(bare.Bytes + (15 * 10)));

        async Task<(bool Dictionary, bool Statistics, long Bytes)> ReadAsync(FormatOptions options)
        {
            using var slice = new EncodedSlice(options, TestBatches.Schema, address);
            using var batch = TestBatches.Rows(0, 8_000);
            await slice.EncodeAsync(batch, CancellationToken.None);
            await slice.CompleteAsync(CancellationToken.None);
            var bytes = Taken(slice.Output);
            using var file = new ParquetSharp.ParquetFileReader(new MemoryStream(bytes));
            var said = file.FileMetaData.KeyValueMetadata.Where(pair => pair.Key.StartsWith("exporter.", StringComparison.Ordinal));
            Assert.That(said, Is.EquivalentTo(new Dictionary<string, string>
            {
                ["exporter.export"] = "events",
                ["exporter.interval_start"] = "1970-01-01T00:00:00Z",
                ["exporter.interval_end"] = "1970-01-01T01:00:00Z",
                ["exporter.slice"] = "7",
            }));
            using var group = file.RowGroup(0);
            using var texts = group.MetaData.GetColumnChunkMetaData(1);
            return (texts.Encodings.Contains(ParquetSharp.Encoding.RleDictionary), texts.IsStatsSet, texts.TotalUncompressedSize);
        }
    }

    [Test]
    public async Task Columns_whose_values_hardly_repeat_have_no_dictionary_and_all_come_back()
    {
        const int Rows = 3_000;
        var (same, wide) = (new string('s', 100), new string('w', 70));
        var columns = new Dictionary<string, IArrowArray>
        {
            ["id"] = new Int64Array.Builder().AppendRange(Enumerable.Range(0, Rows).Select(row => (long)row)).Build(),
            ["uuid.text"] = Texts(row => $"{row:D36}"),
            ["word"] = Texts(row => $"word {row % 10}"),
            ["twice"] = new Int32Array.Builder().AppendRange(Enumerable.Range(0, Rows).Select(row => row / 2)).Build(),
            ["seldom"] = Texts(row => row % 30 == 0 ? $"{row}" : null),
            ["middle"] = Texts(row => $"{wide}{row:D6}{wide}"),
            ["same"] = Texts(_ => same),
        };
        using var batch = new RecordBatch(
            new Schema([.. columns.Select(column => new Field(column.Key, column.Value.Data.DataType, nullable: true))], null), columns.Values, Rows);
        var found = new Dictionary<bool, List<string>> { [true] = [], [false] = [] };
        foreach (var asked in new[] { true, false })
        {
            using var output = new ChunkedStream();
            using var encoder = EncoderFactory.Create(new FormatOptions { Dictionary = asked }, batch.Schema, output);
            encoder.Encode(batch);
            encoder.Complete();
            var bytes = Taken(output);
            using var file = new ParquetSharp.ParquetFileReader(new MemoryStream(bytes));
            using var group = file.RowGroup(0);
            foreach (var (name, at) in columns.Keys.Select((name, at) => (name, at)))
            {
                using var chunk = group.MetaData.GetColumnChunkMetaData(at);
                if (chunk.Encodings.Contains(ParquetSharp.Encoding.RleDictionary))
                {
                    found[asked].Add(name);
                }
            }

            using var reader = new FileReader(new MemoryStream(bytes));
            using var stream = reader.GetRecordBatchReader();
            using var back = await stream.ReadNextRecordBatchAsync();
            Assert.That(back!.Length, Is.EqualTo(Rows));
            foreach (var name in new[] { "uuid.text", "word", "seldom", "middle", "same" })
            {
                Assert.That((IEnumerable<string?>)(StringArray)back.Column(name), Is.EqualTo((IEnumerable<string?>)(StringArray)columns[name]), name);
            }

            Assert.That(((Int64Array)back.Column("id")).Values.ToArray(), Is.EqualTo(((Int64Array)columns["id"]).Values.ToArray()));
        }

        Assert.That(found[true], Is.EqualTo(new[] { "word", "twice", "seldom", "middle", "same" }), "of too few values, or what only the middle tells apart, the writer decides");
        Assert.That(found[false], Is.Empty);

        static StringArray Texts(Func<int, string?> text)
        {
            var builder = new StringArray.Builder();
            foreach (var row in Enumerable.Range(0, Rows))
            {
                _ = text(row) is { } value ? builder.Append(value) : builder.AppendNull();
            }

            return builder.Build();
        }
    }

    private static long RowsOfGroup(ParquetSharp.ParquetFileReader file, int at)
    {
        using var group = file.RowGroup(at);
        return group.MetaData.NumRows;
    }

    private static byte[] Encode(FormatOptions options, int batches, int rows)
    {
        using var output = new ChunkedStream();
        using var encoder = EncoderFactory.Create(options, TestBatches.Schema, output);
        for (var at = 0; at < batches; at++)
        {
            using var batch = TestBatches.Rows(at * rows, rows);
            encoder.Encode(batch);
        }

        encoder.Complete();
        return Taken(output);
    }

    private static byte[] Taken(ChunkedStream output)
    {
        using var all = output.TakeAll();
        using var copy = new MemoryStream();
        all.OpenRead().CopyTo(copy);
        return copy.ToArray();
    }
}

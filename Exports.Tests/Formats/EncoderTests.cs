using System.IO.Compression;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;
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
    [TestCase(Compression.None, ".jsonl")]
    public void Json_lines_hold_every_row_under_every_compression(Compression compression, string extension)
    {
        var options = new FormatOptions { Format = FileFormat.JsonLines, Compression = compression };
        using var input = new MemoryStream(Encode(options, batches: 7, rows: 700));
        using Stream plain = compression switch
        {
            Compression.Zstd => new DecompressionStream(input),
            Compression.Gzip => new GZipStream(input, CompressionMode.Decompress),
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
    public void A_wrong_format_setting_is_named()
    {
        var snappy = new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.Snappy };
        var rows = new FormatOptions { RowGroupRows = 999 };
        Assert.That(() => EncoderFactory.Validate(snappy), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("compression"));
        Assert.That(
            () => EncoderFactory.Validate(rows),
            Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("row_group_rows").And.Message.Contains("999"));
        Assert.That(() => EncoderFactory.Validate(new FormatOptions()), Throws.Nothing);
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
        using var all = output.TakeAll();
        using var copy = new MemoryStream();
        all.OpenRead().CopyTo(copy);
        return copy.ToArray();
    }
}

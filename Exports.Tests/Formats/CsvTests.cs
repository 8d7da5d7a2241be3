using System.Text;
using Apache.Arrow;
using Apache.Arrow.Types;
using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Formats;

internal sealed class CsvTests
{
    private static readonly FormatOptions Options = new() { Format = FileFormat.Csv, Compression = Compression.None };

    [Test]
    public void A_field_stands_in_quotes_only_where_a_reader_would_take_it_for_something_else() =>
        Assert.That(
            Write(Options, ["a", "", null, "a,b", "say \"hi\"", "two\r\nlines", " padded ", "NULL", "naïve"]),
            Is.EqualTo("n,text\r\n0,a\r\n1,\"\"\r\n2,\r\n3,\"a,b\"\r\n4,\"say \"\"hi\"\"\"\r\n5,\"two\r\nlines\"\r\n6,\" padded \"\r\n7,NULL\r\n8,naïve\r\n"));

    [Test]
    public void Header_delimiter_and_null_are_as_they_are_set() =>
        Assert.That(
            Write(Options with { CsvHeader = false, CsvDelimiter = "\t", CsvNull = "\\N" }, ["", null, "\\N", "a\tb", "a,b"]),
            Is.EqualTo("0\t\r\n1\t\\N\r\n2\t\"\\N\"\r\n3\t\"a\tb\"\r\n4\ta,b\r\n"));

    [Test]
    public void A_null_of_an_only_column_is_refused_where_it_would_be_an_empty_line()
    {
        var schema = new Schema([new Field("text", StringType.Default, true)], null);
        using var batch = new RecordBatch(schema, [new StringArray.Builder().AppendNull().Build()], 1);
        var error = Assert.Throws<UserErrorException>(() => FormatFile.Of(Options, schema, [batch]));
        Assert.That((error!.Setting, error.Message), Is.EqualTo(("csv_null", error.Message)));
        Assert.That(error.Message, Does.Contain("\"text\""));
        using var named = FormatFile.Of(Options with { CsvNull = "NULL" }, schema, [batch]);
        Assert.That(Encoding.UTF8.GetString(named.Bytes), Is.EqualTo("text\r\nNULL\r\n"));
    }

    [Test]
    public async Task Any_texts_come_back_from_DuckDB_as_they_were()
    {
        string[] letters = ["\"", ",", "\r", "\n", "\r\n", " ", "\t", "a", "é", "🙂", "\\", "'", ";", "NULL", "\\N"];
        var text = Gen.Int[0, letters.Length - 1].Array[0, 8].Select(which => (string?)string.Concat(which.Select(at => letters[at])));
        await Gen.Frequency((4, text), (1, Gen.Const((string?)null))).Array[1, 30].SampleAsync(
            async texts =>
            {
                using var file = FormatFile.Of(Options, Schema, [Batch(texts)]);
                var rows = await FormatFile.DuckDbAsync(
                    $"SELECT text FROM read_csv('{file.Path}', header = true, delim = ',', quote = '\"', escape = '\"', columns = {{n: 'BIGINT', text: 'VARCHAR'}}, "
                    + "auto_detect = false, new_line = '\\r\\n', allow_quoted_nulls = false, parallel = false) ORDER BY n");
                Assert.That(rows.Select(row => row[0]), Is.EqualTo(texts));
            },
            iter: 40,
            threads: 1);
    }

    private static readonly Schema Schema = new([new Field("n", Int64Type.Default, false), new Field("text", StringType.Default, true)], null);

    private static string Write(FormatOptions options, string?[] texts)
    {
        using var file = FormatFile.Of(options, Schema, [Batch(texts)]);
        return Encoding.UTF8.GetString(file.Bytes);
    }

    private static RecordBatch Batch(string?[] texts)
    {
        var column = new StringArray.Builder();
        foreach (var text in texts)
        {
            column.Append(text);
        }

        var numbers = new Int64Array.Builder().AppendRange(Enumerable.Range(0, texts.Length).Select(at => (long)at)).Build();
        return new RecordBatch(Schema, [numbers, column.Build()], texts.Length);
    }
}

using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Tests.Formats;

/// <summary>Batches with an id and a text of a chosen length.</summary>
internal static class TestBatches
{
    public static readonly Schema Schema = new(
        [new Field("id", Int64Type.Default, nullable: false), new Field("text", StringType.Default, nullable: true)], null);

    /// <summary>Rows with the ids <paramref name="from"/> and on; the texts hardly compress.</summary>
    public static RecordBatch Rows(int from, int count, int textLength = 20)
    {
        var random = new Random(from);
        var texts = new StringArray.Builder();
        var bytes = new byte[Math.Max(1, textLength / 2)];
        for (var row = 0; row < count; row++)
        {
            random.NextBytes(bytes);
            texts.Append(Convert.ToHexStringLower(bytes));
        }

        var ids = new Int64Array.Builder().AppendRange(Enumerable.Range(from, count).Select(id => (long)id)).Build();
        return new RecordBatch(Schema, [ids, texts.Build()], count);
    }
}

using System.Globalization;
using System.Text;
using Apache.Arrow;
using NpgsqlTypes;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// Rows by INSERT with many of them, without a bucket, into a temporary table. Values are parameters, so that none can be read as SQL; a statement has few enough of them, and
/// few enough bytes, for Redshift (https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_commands.html: 16 MB; its drivers: 32,767 parameters).
/// </summary>
internal sealed class InsertLoad(RedshiftConnections server, RedshiftSlice slice) : IRedshiftLoad
{
    private const int MostParameters = 32_767;
    private const int MostBytes = 4 * 1024 * 1024;

    // What the protocol adds to each value.
    private const int Header = 4;

    private RedshiftSession? _session;

    public long BytesSent { get; private set; }

    public async Task WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        if (_session is null)
        {
            _session = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
            await _session.ExecuteAsync(slice.Statements.CreateStage(), cancellationToken).ConfigureAwait(false);
        }

        var cells = Enumerable.Range(0, batch.ColumnCount).Select(at => InsertCell.Of(batch.Column(at), at < slice.Columns.Count ? slice.Columns[at].Type : new RedshiftType("BIGINT"))).ToList();
        var (rows, values, bytes) = (new List<string>(), new List<object?>(), 0);
        for (var row = 0; row < batch.Length; row++)
        {
            var places = new List<string>(cells.Count);
            foreach (var cell in cells)
            {
                var (value, size) = cell.Value(row);
                values.Add(value);
                bytes += size + Header;
                places.Add(string.Create(CultureInfo.InvariantCulture, $"{cell.Before}${values.Count}{cell.After}"));
            }

            rows.Add($"({string.Join(", ", places)})");
            if (bytes >= MostBytes || values.Count + cells.Count > MostParameters || row == batch.Length - 1)
            {
                await _session.ExecuteAsync(new RedshiftStatement(slice.Statements.Insert(rows), [.. values]), cancellationToken).ConfigureAwait(false);
                BytesSent += bytes;
                (rows, values, bytes) = ([], [], 0);
            }
        }
    }

    public Task<RedshiftSession> CompleteAsync(CancellationToken cancellationToken)
    {
        var session = _session!;
        _session = null;
        return Task.FromResult(session);
    }

    // The temporary table goes with its session.
    public Task ReleaseAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        if (_session is { } session)
        {
            _session = null;
            await session.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>A column's values as parameters.</summary>
    /// <param name="Before">What stands before the parameter.</param>
    /// <param name="After">What stands behind it.</param>
    /// <param name="Value">A row's value, and its bytes.</param>
    private sealed record InsertCell(string Before, string After, Func<int, (object Value, int Bytes)> Value)
    {
        public static InsertCell Of(IArrowArray array, RedshiftType type) => array switch
        {
            BooleanArray values => Typed(array, NpgsqlDbType.Boolean, 1, row => values.GetValue(row)!.Value),
            Int16Array values => Typed(array, NpgsqlDbType.Smallint, 2, row => values.Values[row]),
            Int32Array values => Typed(array, NpgsqlDbType.Integer, 4, row => values.Values[row]),
            Int64Array values => Typed(array, NpgsqlDbType.Bigint, 8, row => values.Values[row]),
            FloatArray values => Typed(array, NpgsqlDbType.Real, 4, row => values.Values[row]),
            DoubleArray values => Typed(array, NpgsqlDbType.Double, 8, row => values.Values[row]),
            Date32Array values => Typed(array, NpgsqlDbType.Date, 4, row => DateOnly.FromDateTime(values.GetDateTime(row)!.Value)),
            TimestampArray values => Typed(array, NpgsqlDbType.TimestampTz, 8, row => values.GetTimestamp(row)!.Value.UtcDateTime),
            Decimal128Array values => Text(array, row => values.GetString(row)!) with { Before = "CAST(", After = $" AS {type.Sql})" },
            StringArray values => Text(array, row => values.GetString(row)),
            BinaryArray values when type.IsJson => Text(array, row => Encoding.UTF8.GetString(values.GetBytes(row))),
            BinaryArray values => Text(array, row => Convert.ToHexStringLower(values.GetBytes(row))) with { Before = "FROM_HEX(", After = ")" },
            _ => throw new InvalidOperationException($"{array.Data.DataType.Name} is not staged."),
        };

        private static InsertCell Typed<T>(IArrowArray array, NpgsqlDbType type, int bytes, Func<int, T> value)
            where T : notnull => new("", "", row => array.IsNull(row) ? (new RedshiftValue(type, DBNull.Value), 0) : (new RedshiftValue(type, value(row)), bytes));

        private static InsertCell Text(IArrowArray array, Func<int, string> value) => new("", "", row =>
        {
            if (array.IsNull(row))
            {
                return (new RedshiftValue(NpgsqlDbType.Varchar, DBNull.Value), 0);
            }

            var text = value(row);
            return (new RedshiftValue(NpgsqlDbType.Varchar, text), Encoding.UTF8.GetByteCount(text));
        });
    }
}

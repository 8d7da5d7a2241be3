using System.Globalization;
using ClickHouse.Driver.ADO;

namespace Exporter.Exports.Sources;

/// <summary>
/// Watches the small queries that are asked from where it begins on to where it is disposed of, however deep: each gets a name, under
/// which it is found while it runs, and what it has read is summed up when it has ended.
/// </summary>
internal sealed class QueryWatch : IDisposable
{
    private static readonly AsyncLocal<QueryWatch?> Ambient = new();
    private readonly string _comment;
    private long _rows;
    private long _bytes;
    private int _asked;
    private int _ended;

    private QueryWatch(string idPrefix, string comment) => (IdPrefix, _comment) = (idPrefix, comment);

    /// <summary>The one that watches here; null when none does.</summary>
    public static QueryWatch? Current => Ambient.Value;

    /// <summary>What the ids of the queries begin with.</summary>
    public string IdPrefix { get; }

    /// <summary>What the queries that have ended have read.</summary>
    public QueriesRead Ended => new(Volatile.Read(ref _ended), Interlocked.Read(ref _rows), Interlocked.Read(ref _bytes));

    /// <summary>Begins to watch; one that watched here already is not told meanwhile.</summary>
    public static QueryWatch Begin(string idPrefix, string comment) => Ambient.Value = new QueryWatch(idPrefix, comment);

    /// <summary>The name of a query: another one for each try.</summary>
    public QueryName Next() => new(IdPrefix + Interlocked.Increment(ref _asked).ToString(CultureInfo.InvariantCulture), _comment);

    /// <summary>A query has been answered; <paramref name="stats"/> are what ClickHouse says of it, if anything.</summary>
    public void Add(QueryStats? stats)
    {
        Interlocked.Increment(ref _ended);
        Interlocked.Add(ref _rows, stats?.ReadRows ?? 0);
        Interlocked.Add(ref _bytes, stats?.ReadBytes ?? 0);
    }

    public void Dispose() => Ambient.Value = null;
}

/// <summary>What queries have read.</summary>
/// <param name="Queries">How many.</param>
/// <param name="Rows">Rows of their tables.</param>
/// <param name="Bytes">Bytes of them, uncompressed.</param>
internal readonly record struct QueriesRead(int Queries, long Rows, long Bytes);

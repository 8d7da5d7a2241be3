using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>
/// A connection that is kept open, for who happens to need one. Its users do not wait for each other: who finds it taken takes
/// another one.
/// </summary>
internal sealed class QuietConnection(NpgsqlDataSource data) : IDisposable
{
    private NpgsqlConnection? _connection;
    private int _isTaken;

    /// <summary>Null when somebody has it.</summary>
    public Turn? TryTake() => Interlocked.CompareExchange(ref _isTaken, 1, 0) == 0 ? new Turn(this) : null;

    /// <summary>Closes it, unless somebody has it; nobody gets it any more.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isTaken, 1) == 0)
        {
            _connection?.Dispose();
        }
    }

    /// <summary>Somebody's use of the connection; what is not kept at its end is opened anew the next time.</summary>
    internal sealed class Turn(QuietConnection of) : IDisposable
    {
        private bool _isKept;

        public NpgsqlConnection Open() => of._connection ??= of.Data.OpenConnection();

        public async Task<NpgsqlConnection> OpenAsync(CancellationToken cancellationToken) =>
            of._connection ??= await of.Data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);

        /// <summary>All went well.</summary>
        public void Keep() => _isKept = true;

        public void Dispose()
        {
            if (!_isKept)
            {
                of._connection?.Dispose();
                of._connection = null;
            }

            Volatile.Write(ref of._isTaken, 0);
        }
    }

    private NpgsqlDataSource Data => data;
}

using System.Globalization;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Ends calls that take longer than the setting <c>timeout</c>: sending rows has no time limit in the driver.</summary>
internal sealed class CallLimit : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly CancellationToken _caller;
    private readonly int _seconds;

    public CallLimit(PostgresOptions options, CancellationToken cancellationToken)
    {
        _seconds = options.Timeout;
        _caller = cancellationToken;
        _source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _source.CancelAfter(TimeSpan.FromSeconds(_seconds));
    }

    /// <summary>Makes a call.</summary>
    /// <exception cref="TimeoutException">It took too long.</exception>
    public async Task KeepAsync(Func<CancellationToken, Task> call)
    {
        try
        {
            await call(_source.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (_source.IsCancellationRequested && !_caller.IsCancellationRequested)
        {
            throw new TimeoutException(string.Create(CultureInfo.InvariantCulture, $"PostgreSQL took no rows for {_seconds} s."), error);
        }
    }

    public void Dispose() => _source.Dispose();
}

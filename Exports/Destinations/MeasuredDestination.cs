using System.Diagnostics;
using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>A destination whose bytes, commits and errors are counted. Everything that it is asked it asks the one inside.</summary>
internal sealed class MeasuredDestination(IDestination inner, string kind, DestinationMetrics metrics) : IDestination
{
    public RowOrder Order => inner.Order;

    public bool TakesSourceTypes => inner.TakesSourceTypes;

    public bool TakesNestedValues => inner.TakesNestedValues;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => inner.CheckAsync(cancellationToken);

    public Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) =>
        CountedAsync(() => inner.ResumeSliceAsync(address, cancellationToken), cancellationToken);

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken) =>
        new Sink(await CountedAsync(() => inner.OpenSliceAsync(address, schema, cancellationToken), cancellationToken).ConfigureAwait(false), this);

    public Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken) =>
        CountedAsync(() => inner.FinishAsync(manifest, cancellationToken), cancellationToken);

    public Task DiscardSliceAsync(SliceAddress address, CancellationToken cancellationToken) =>
        CountedAsync(() => inner.DiscardSliceAsync(address, cancellationToken), cancellationToken);

    public ColumnLimit? LimitOf(Field field) => inner.LimitOf(field);

    public ExportError? Classify(Exception exception) => inner.Classify(exception);

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private Task CountedAsync(Func<Task> body, CancellationToken cancellationToken) => CountedAsync(
        async () =>
        {
            await body().ConfigureAwait(false);
            return true;
        },
        cancellationToken);

    // What the caller has cancelled is no error.
    private async Task<T> CountedAsync<T>(Func<Task<T>> body, CancellationToken cancellationToken)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            metrics.Failed(kind, inner.Classify(error)?.Kind ?? ErrorKind.Bug);
            throw;
        }
    }

    private void Sent(long bytes) => metrics.Sent(kind, bytes);

    private void Committed(long rows, TimeSpan took) => metrics.Committed(kind, rows, took);

    private sealed class Sink(ISliceSink inner, MeasuredDestination destination) : ISliceSink
    {
        private long _counted;

        public long BytesSent => inner.BytesSent;

        public long BytesKept => inner.BytesKept;

        public void Note(string note) => inner.Note(note);

        public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
        {
            await destination.CountedAsync(() => inner.WriteAsync(batch, cancellationToken).AsTask(), cancellationToken).ConfigureAwait(false);
            Count();
        }

        public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
        {
            var start = Stopwatch.GetTimestamp();
            var receipt = await destination.CountedAsync(() => inner.CommitAsync(cancellationToken), cancellationToken).ConfigureAwait(false);
            destination.Committed(receipt.Rows, Stopwatch.GetElapsedTime(start));
            return receipt;
        }

        public async ValueTask DisposeAsync()
        {
            await inner.DisposeAsync().ConfigureAwait(false);
            Count();
        }

        private void Count()
        {
            var sent = inner.BytesSent;
            if (sent > _counted)
            {
                destination.Sent(sent - _counted);
                _counted = sent;
            }
        }
    }
}

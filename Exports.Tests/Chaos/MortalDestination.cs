using System.Globalization;
using System.Runtime.InteropServices;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Points on a slice's way into a destination.</summary>
internal enum DestinationMoment
{
    /// <summary>It was opened.</summary>
    Opened,

    /// <summary>A batch was written.</summary>
    Written,

    /// <summary>All is written and it is about to be committed.</summary>
    Committing,

    /// <summary>It is committed, and nobody but the destination knows.</summary>
    Committed,
}

/// <summary>
/// A destination in whose slices the process kills or freezes itself, told by its environment. And the switch that breaks the commit:
/// forgetful, every attempt of a slice is another slice to the destination, so that it neither finds nor replaces nor refuses any.
/// </summary>
internal sealed class MortalDestination(IDestination inner, Action<DestinationMoment> at, bool forgetful) : IDestination
{
    /// <summary>MOMENT:TIMES:SIGNAL, such as Written:3:KILL.</summary>
    public const string DeathVariable = "CHAOS_DESTINATION_DEATH";

    public const string ForgetfulVariable = "CHAOS_FORGETFUL";

    public RowOrder Order => inner.Order;

    public bool TakesSourceTypes => inner.TakesSourceTypes;

    public bool TakesNestedValues => inner.TakesNestedValues;

    public static void AddTo(IServiceCollection services)
    {
        var death = Environment.GetEnvironmentVariable(DeathVariable)?.Split(':') ?? [];
        var forgetful = Environment.GetEnvironmentVariable(ForgetfulVariable) == "1";
        if (death.Length != 3 && !forgetful)
        {
            return;
        }

        var left = death.Length == 3 ? int.Parse(death[1], CultureInfo.InvariantCulture) : 0;
        services.AddSingleton<OpenDestination>((destination, format) => new MortalDestination(DestinationKinds.Open(destination, format), Pass, forgetful));

        void Pass(DestinationMoment moment)
        {
            if (death.Length == 3 && moment.ToString() == death[0] && Interlocked.Decrement(ref left) == 0)
            {
                _ = Signal(Environment.ProcessId, death[2] == "KILL" ? 9 : 19);
            }
        }
    }

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => inner.CheckAsync(cancellationToken);

    public async Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) =>
        forgetful ? null : await inner.ResumeSliceAsync(address, cancellationToken);

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var slice = forgetful ? address with { Slice = Random.Shared.Next(), StepKey = null } : address;
        var sink = await inner.OpenSliceAsync(slice, schema, cancellationToken);
        at(DestinationMoment.Opened);
        return new Sink(sink, at, address.Slice);
    }

    public Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken) =>
        forgetful ? Task.CompletedTask : inner.FinishAsync(manifest, cancellationToken);

    public Task DiscardSliceAsync(SliceAddress address, CancellationToken cancellationToken) => inner.DiscardSliceAsync(address, cancellationToken);

    public ColumnLimit? LimitOf(Field field) => inner.LimitOf(field);

    public ExportError? Classify(Exception exception) => inner.Classify(exception);

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    // By the process itself: a child that it would wait for may be gone before it wakes.
    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Signal(int process, int signal);

    private sealed class Sink(ISliceSink inner, Action<DestinationMoment> at, int slice) : ISliceSink
    {
        public long BytesSent => inner.BytesSent;

        public long BytesKept => inner.BytesKept;

        public void Note(string note) => inner.Note(note);

        public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
        {
            await inner.WriteAsync(batch, cancellationToken);
            at(DestinationMoment.Written);
        }

        public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
        {
            at(DestinationMoment.Committing);
            var receipt = await inner.CommitAsync(cancellationToken);
            at(DestinationMoment.Committed);
            return receipt with { Slice = slice };
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

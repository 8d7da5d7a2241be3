using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.AzureBlob;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;
using Exporter.Exports.Tests.Destinations;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Faults inside a worker process that <see cref="ExportChaos"/> starts; told by its environment.</summary>
internal static class ChaosFaults
{
    public const string SeedVariable = "CHAOS_SEED";
    public const string BrokenVariable = "CHAOS_BROKEN";
    public const string LeaseVariable = "CHAOS_LEASE";

    /// <summary>A file that grows by a byte for every fault that a destination's client was made to see.</summary>
    public const string CountVariable = "CHAOS_COUNT";

    // Of every allocation that ClickHouse makes for a query: about one query in twenty is refused.
    private const string MemoryFaults = "0.05";
    private const double RefusedRequests = 0.1;
    private const double LostAnswers = 0.05;
    private const double BrokenSlices = 0.1;

    /// <summary>The source with refusals of memory; as it is when this process is not part of the chaos.</summary>
    public static ClickHouseOptions Source(string connection) => Seed() is null
        ? new ClickHouseOptions { ConnectionString = connection }
        : new ClickHouseOptions
        {
            ConnectionString = connection,
            Settings = new Dictionary<string, string> { ["memory_tracker_fault_probability"] = MemoryFaults },
            IdleTimeout = TimeSpan.FromSeconds(10),
        };

    /// <summary>How long a worker that was killed keeps its runs.</summary>
    public static TimeSpan Lease() => TimeSpan.FromSeconds(
        int.TryParse(Environment.GetEnvironmentVariable(LeaseVariable), CultureInfo.InvariantCulture, out var seconds) ? seconds : 2);

    /// <summary>Destinations that fail now and then.</summary>
    public static void AddTo(IServiceCollection services)
    {
        if (Seed() is not { } seed)
        {
            return;
        }

        var random = new Random(seed);
        var broken = Environment.GetEnvironmentVariable(BrokenVariable) == "1";

        // What is broken on purpose is to be found without other faults, and soon.
        Func<HttpRequestMessage, Fault> fault = broken ? _ => Fault.None : _ => Choose(random);
        services.AddSingleton<OpenDestination>((destination, format) =>
        {
            var opened = destination.Kind switch
            {
                "s3" => new S3Destination(DestinationOptions.Read<S3Options>(destination).Validate(), format, new FaultyS3Client(fault)),
                "azure-blob" => new AzureBlobDestination(
                    DestinationOptions.Read<AzureBlobOptions>(destination).Validate(), format, new FaultyAzureHandler(fault).Transport),
                _ => DestinationKinds.Open(destination, format),
            };
            return broken ? new BrokenDestination(opened, random) : opened;
        });
    }

    private static int? Seed() =>
        int.TryParse(Environment.GetEnvironmentVariable(SeedVariable), CultureInfo.InvariantCulture, out var seed) ? seed : null;

    private static Fault Choose(Random random)
    {
        lock (random)
        {
            var fault = random.NextDouble() switch
            {
                < RefusedRequests => Fault.Throttle,
                < RefusedRequests + LostAnswers => Fault.LoseAnswer,
                _ => Fault.None,
            };
            if (fault != Fault.None && Environment.GetEnvironmentVariable(CountVariable) is { } counter)
            {
                File.AppendAllText(counter, ".");
            }

            return fault;
        }
    }

    // Commits a batch's first half in place of its second now and then: as many rows as there should be, and not the right ones.
    private sealed class BrokenDestination(IDestination inner, Random random) : IDestination
    {
        public RowOrder Order => inner.Order;

        public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => inner.CheckAsync(cancellationToken);

        public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
        {
            var sink = await inner.OpenSliceAsync(address, schema, cancellationToken);
            lock (random)
            {
                return random.NextDouble() < BrokenSlices ? new BrokenSink(sink) : sink;
            }
        }

        public Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken) => inner.FinishAsync(manifest, cancellationToken);

        public ExportError? Classify(Exception exception) => inner.Classify(exception);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    private sealed class BrokenSink(ISliceSink inner) : ISliceSink
    {
        public long BytesSent => inner.BytesSent;

        public long BytesKept => inner.BytesKept;

        public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
        {
            var half = batch.Length / 2;
            using var first = batch.Slice(0, half);
            await inner.WriteAsync(first, cancellationToken);
            await inner.WriteAsync(first, cancellationToken);
            if (batch.Length % 2 == 1)
            {
                using var last = batch.Slice(batch.Length - 1, 1);
                await inner.WriteAsync(last, cancellationToken);
            }
        }

        public Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken) => inner.CommitAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Reflection;
using Exporter.Engine.Tests.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Model;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Exports.Tests.Destinations;

public sealed class DestinationMetricsTests
{
    private static readonly SliceAddress Slice = new(
        "events", new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero)), 0, 1, 1);

    private readonly ConcurrentQueue<(string Instrument, double Value, string Tags)> _told = [];
    private ServiceProvider _services = null!;
    private MeterListener _listener = null!;
    private string _root = "";
    private IDestination _destination = null!;

    [SetUp]
    public void Make()
    {
        _told.Clear();
        _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var factory = _services.GetRequiredService<IMeterFactory>();
        _listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter, factory.Create(DestinationMetrics.MeterName)))
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Told(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Told(instrument, value, tags));
        _listener.Start();
        _root = Directory.CreateTempSubdirectory("exporter-metrics-").FullName;
        _destination = new MeasuredDestination(new FilesDestination(new FilesOptions { Root = _root }, new FormatOptions()), "files", new DestinationMetrics(factory));
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _destination.DisposeAsync();
        _listener.Dispose();
        await _services.DisposeAsync();
        Directory.Delete(_root, recursive: true);
    }

    [Test]
    public async Task Bytes_rows_and_commits_are_counted_by_kind_of_destination()
    {
        long bytes;
        await using (var sink = await _destination.OpenSliceAsync(Slice, SliceRows.Schema, CancellationToken.None))
        {
            using var batch = SliceRows.Batch("a", "b", "c");
            await sink.WriteAsync(batch, CancellationToken.None);
            bytes = (await sink.CommitAsync(CancellationToken.None)).Bytes;
        }

        Assert.That(Sum("sent", "destination=files"), Is.EqualTo(bytes));
        Assert.That(Sum("rows", "destination=files"), Is.EqualTo(3));
        Assert.That(Sum("commits", "destination=files"), Is.EqualTo(1));
        Assert.That(_told.Count(one => one.Instrument == "exporter.exports.destination.commit.duration" && one.Value > 0), Is.EqualTo(1));
        Assert.That(Sum("errors", "destination=files kind=user"), Is.Zero);
    }

    [Test]
    public async Task An_error_is_counted_once_by_who_has_to_act_and_a_cancellation_not_at_all()
    {
        using var cancelled = new CancellationTokenSource();
        await using (var sink = await _destination.OpenSliceAsync(Slice, SliceRows.Schema, CancellationToken.None))
        {
            using var batch = SliceRows.Batch("a");
            await sink.WriteAsync(batch, CancellationToken.None);
            await cancelled.CancelAsync();
            Assert.That(() => sink.CommitAsync(cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
        }

        Directory.Delete(_root, recursive: true);
        Assert.That(() => _destination.OpenSliceAsync(Slice, SliceRows.Schema, CancellationToken.None), Throws.TypeOf<UserErrorException>());
        Directory.CreateDirectory(_root);

        Assert.That(_told.Where(one => one.Instrument.EndsWith(".errors", StringComparison.Ordinal)), Is.EqualTo(new[] { ("exporter.exports.destination.errors", 1d, "destination=files kind=user") }));
        Assert.That(Sum("commits", "destination=files"), Is.Zero);
    }

    // A default of the interface in place of the destination's own answer would be a bug that nobody sees.
    [TestCase(typeof(IDestination))]
    [TestCase(typeof(ISliceSink))]
    public void Everything_that_a_destination_is_asked_it_is_asked_through_the_counter_too(Type asked)
    {
        var counter = asked == typeof(IDestination) ? typeof(MeasuredDestination) : typeof(MeasuredDestination).GetNestedTypes(BindingFlags.NonPublic).Single(type => type.IsAssignableTo(asked));
        Assert.That(counter.GetInterfaceMap(asked).TargetMethods.Select(method => method.DeclaringType), Is.All.EqualTo(counter));
    }

    [Test]
    public Task Every_instrument_is_documented_as_it_is() =>
        InstrumentTable.CheckAsync(Repository.PathOf("docs/observability.md"), DestinationMetrics.MeterName, "<!-- instruments of exports -->", factory => _ = new DestinationMetrics(factory), atLeast: 5);

    private double Sum(string name, string tags) => _told.Where(one => one.Instrument == "exporter.exports.destination." + name && one.Tags == tags).Sum(one => one.Value);

    private void Told<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        where T : struct
    {
        var all = string.Join(' ', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"));
        _told.Enqueue((instrument.Name, Convert.ToDouble(value, System.Globalization.CultureInfo.InvariantCulture), all));
    }
}

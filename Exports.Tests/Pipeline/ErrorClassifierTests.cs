using System.Net.Sockets;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Who has to act on an error decides what the engine does.</summary>
public sealed class ErrorClassifierTests
{
    [TestCase(516, "clickhouse")]
    [TestCase(497, "clickhouse")]
    [TestCase(164, "clickhouse")]
    [TestCase(47, "model")]
    [TestCase(395, "columns")]
    public async Task What_the_user_has_to_mend_is_not_tried_again_and_names_the_setting(int code, string setting)
    {
        var error = await Assert.ThrowsAsync<NonRetryableException>(() => SortedAsync(new SourceException(code, "no")));
        Assert.That(error!.Message, Does.Contain($"Setting: {setting}."));
        Assert.That(error.InnerException, Is.InstanceOf<SourceException>());
    }

    [Test]
    public async Task An_error_that_names_its_setting_keeps_it()
    {
        var error = await Assert.ThrowsAsync<NonRetryableException>(() => SortedAsync(new UserErrorException("bucket", "It is not there.", "Make it.")));
        Assert.That(error!.Message, Is.EqualTo("It is not there. Setting: bucket. Make it."));
    }

    [Test]
    public async Task A_busy_source_is_waited_for()
    {
        var error = await Assert.ThrowsAsync<RetryAfterException>(() => SortedAsync(new SourceException(202, "too many queries")));
        Assert.That(error!.After, Is.EqualTo(TimeSpan.FromSeconds(30)));
    }

    // Memory limit, timeout, cancelled, a stream without an end, the network, and what nobody knows.
    [TestCaseSource(nameof(Transient))]
    public async Task What_gets_better_by_itself_passes_as_it_is(Exception error) =>
        Assert.That(await Assert.ThrowsAsync(error.GetType(), () => SortedAsync(error)), Is.SameAs(error));

    private static IEnumerable<Exception> Transient() =>
    [
        new SourceException(241, "memory"), new SourceException(159, "timeout"), new SourceException(394, "cancelled"),
        new SourceException(0, "broke off"), new SocketException(111), new HttpRequestException("refused"), new TimeoutException("idle"),
        new OperationCanceledException(), new InvalidOperationException("a bug"), new NonRetryableException("decided"),
    ];

    private static Task<int> SortedAsync(Exception error) => ErrorClassifier.SortedAsync<int>(() => throw error);
}

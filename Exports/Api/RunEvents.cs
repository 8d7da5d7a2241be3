using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Exporter.Exports.Api;

/// <summary>A run's progress as server-sent events. Each event is the whole state, so whoever connects again has missed nothing.</summary>
internal static class RunEvents
{
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(0.5);

    // Proxies end what is silent for a minute.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);

    // Then the browser connects again, and who may see it is asked again.
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(5);

    public static async Task WriteAsync(HttpContext http, Func<CancellationToken, Task<RunDetail>> read)
    {
        // A server that stops does not wait for those who watch.
        var stopping = http.RequestServices.GetService<IHostApplicationLifetime>()?.ApplicationStopping ?? CancellationToken.None;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, stopping);
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers["X-Accel-Buffering"] = "no";
        try
        {
            await SseFormatter.WriteAsync(EventsAsync(read, either.Token), http.Response.Body, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            // Either side has gone.
        }
    }

    private static async IAsyncEnumerable<SseItem<string>> EventsAsync(
        Func<CancellationToken, Task<RunDetail>> read, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var time = TimeProvider.System;
        var (began, said, before) = (time.GetTimestamp(), time.GetTimestamp(), "");
        while (time.GetElapsedTime(began) < Longest)
        {
            var detail = await read(cancellationToken).ConfigureAwait(false);
            var text = JsonSerializer.Serialize(detail, ExportJson.Options);
            if (text != before || time.GetElapsedTime(said) > LongestSilence)
            {
                (said, before) = (time.GetTimestamp(), text);
                yield return new SseItem<string>(text, "progress");
            }

            if (detail.Run.HasEnded())
            {
                yield return new SseItem<string>(text, "end");
                yield break;
            }

            await Task.Delay(Poll, time, cancellationToken).ConfigureAwait(false);
        }
    }
}

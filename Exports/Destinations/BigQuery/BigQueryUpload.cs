using System.Globalization;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// A resumable upload: https://cloud.google.com/bigquery/docs/reference/api-uploads#resumable. A file is sent in chunks while it is written, so its size is
/// not known before the end. 308 says how far BigQuery has got, which may be less than was sent; after a break it is asked. A chunk is kept until
/// all of it has arrived. The job begins with the last byte, under the name that the upload began with.
/// </summary>
internal sealed class BigQueryUpload(
    BigQueryHttp http, string session, string job, Func<string, CancellationToken, Task<BigQueryAnswer>> done, BigQueryOptions options) : IBigQueryLoad
{
    private const int Incomplete = 308;

    // The end of what all chunks before have brought.
    private long _start;
    private long _sent;

    public long Sent => Interlocked.Read(ref _sent);

    public async Task SendAsync(ChunkedBytes bytes, CancellationToken cancellationToken)
    {
        using (bytes)
        {
            if (await SendAsync(bytes, isLast: false, cancellationToken).ConfigureAwait(false))
            {
                throw new BigQueryException($"{options.Url.Host} takes the upload of {job} for complete, and it is not.") { Status = 200 };
            }

            _start += bytes.Length;
        }
    }

    public async Task<long?> CompleteAsync(ChunkedBytes last, CancellationToken cancellationToken)
    {
        using (last)
        {
            await SendAsync(last, isLast: true, cancellationToken).ConfigureAwait(false);
        }

        try
        {
            using var answer = await done(job, cancellationToken).ConfigureAwait(false);
            return answer.Root.TryGetProperty("statistics", out var statistics) && statistics.TryGetProperty("load", out var load)
                && long.TryParse(BigQueryHttp.Text(load, "outputRows"), CultureInfo.InvariantCulture, out var rows) ? rows : null;
        }
        catch (BigQueryException error) when (error is { Reason: "duplicate", Job: not null })
        {
            // The table has rows already; whoever counts them says whether they are ours.
            return null;
        }
    }

    // Answers whether that was the end.
    private async Task<bool> SendAsync(ChunkedBytes bytes, bool isLast, CancellationToken cancellationToken)
    {
        var (end, next, tries, pause, asks) = (_start + bytes.Length, _start, 0, http.Pause, false);
        while (true)
        {
            var before = next;
            BigQueryException? lost = null;
            try
            {
                using var answer = await http.AskAsync(asks ? Status(end, isLast) : Chunk(bytes, next, end, isLast), cancellationToken).ConfigureAwait(false);
                asks = false;
                if (answer.Status is not Incomplete)
                {
                    // 409: the end has arrived before, and its answer was lost. Of a session that is gone the same may be true: the job says so.
                    if (answer.Status is 404 or 410 && !(isLast && await IsThereAsync(cancellationToken).ConfigureAwait(false)))
                    {
                        throw new BigQueryException($"The upload of {job} is gone.") { Status = answer.Status, Reason = BigQueryErrors.UploadGone };
                    }

                    Interlocked.Exchange(ref _sent, end);
                    return true;
                }

                next = NextByte(answer);
                if (next < _start || next > end)
                {
                    var said = string.Create(CultureInfo.InvariantCulture, $"Of the upload of {job} {options.Url.Host} has {next} bytes, and {_start} to {end} were sent.");
                    throw new BigQueryException(said) { Status = Incomplete, Reason = BigQueryErrors.UploadGone };
                }

                Interlocked.Exchange(ref _sent, next);
                if (next == end && !isLast)
                {
                    return false;
                }
            }
            catch (BigQueryException error) when (error.Reason != BigQueryErrors.UploadGone && BigQueryErrors.IsPassing(error))
            {
                lost = error;
            }

            tries = next > before ? 0 : tries + 1;
            if (tries == BigQueryHttp.Tries)
            {
                throw lost ?? new BigQueryException($"The upload of {job} does not go on.") { Status = Incomplete, Reason = BigQueryErrors.UploadGone };
            }

            if (lost is not null || next == before)
            {
                asks = lost is not null;
                await http.WaitAsync(pause, cancellationToken).ConfigureAwait(false);
                pause *= 2;
            }
        }
    }

    private BigQueryRequest Chunk(ChunkedBytes bytes, long from, long end, bool isLast) => from == end ? Status(end, isLast) : new(HttpMethod.Put, session)
    {
        Content = () =>
        {
            var stream = bytes.OpenRead();
            stream.Position = from - _start;
            return new StreamContent(stream);
        },
        Headers = Range(string.Create(CultureInfo.InvariantCulture, $"{from}-{end - 1}/{(isLast ? end : "*")}")),
        Answers = [Incomplete, 404, 409, 410],
        Once = true,
    };

    // How far is it?
    private BigQueryRequest Status(long end, bool isLast) => new(HttpMethod.Put, session)
    {
        Content = () => new ByteArrayContent([]),
        Headers = Range(string.Create(CultureInfo.InvariantCulture, $"*/{(isLast ? end : "*")}")),
        Answers = [Incomplete, 404, 409, 410],
        Once = true,
    };

    private async Task<bool> IsThereAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var answer = await done(job, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (BigQueryException error) when (error is { Status: 404, Job: null })
        {
            return false;
        }
        catch (BigQueryException error) when (error.Job is not null)
        {
            // It is there and has failed; whoever waits for it sees that.
            return true;
        }
    }

    private static Dictionary<string, string> Range(string range) => new() { ["Content-Range"] = "bytes " + range };

    // Without the header nothing has arrived.
    private static long NextByte(BigQueryAnswer answer)
    {
        if (!answer.Headers.TryGetValues("Range", out var values))
        {
            return 0;
        }

        var text = values.First();
        return long.TryParse(text[(text.IndexOf('-', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture, out var last) ? last + 1 : 0;
    }
}

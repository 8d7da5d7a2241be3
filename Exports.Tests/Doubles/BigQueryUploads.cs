using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// Resumable uploads: https://cloud.google.com/bigquery/docs/reference/api-uploads#resumable. Every chunk but the last is a multiple of 256 KiB, begins where
/// the last one ended, and is answered with 308 and how far the upload is.
/// </summary>
internal sealed class BigQueryUploads : IDisposable
{
    private const int Unit = 256 * 1024;
    private readonly string _folder = Directory.CreateTempSubdirectory("bigquery-double-").FullName;
    private readonly ConcurrentDictionary<string, Session> _sessions = [];

    /// <summary>Whether sessions are forgotten.</summary>
    public bool Forgets { get; set; }

    /// <summary>Bytes of the longest request.</summary>
    public long Longest { get; private set; }

    /// <summary>Begins one, of a job.</summary>
    public string Begin(JsonObject job)
    {
        var id = Guid.NewGuid().ToString("N");
        _sessions[id] = new Session(job, Path.Combine(_folder, id));
        return id;
    }

    /// <summary>PUT: takes a chunk, or says how far it is.</summary>
    /// <param name="id">The session.</param>
    /// <param name="request">The request.</param>
    /// <param name="shortBy">So many of its bytes do not arrive.</param>
    /// <returns>The job with its file when that was the end; else null and how many bytes are there.</returns>
    public async Task<(JsonObject? Job, string Path, long Received)> PutAsync(string id, HttpRequest request, long shortBy)
    {
        if (Forgets || !_sessions.TryGetValue(id, out var session))
        {
            throw new BigQueryFailure(404, "notFound", "Not Found");
        }

        var range = request.Headers.ContentRange.ToString();
        Assert.That(range, Does.StartWith("bytes "));
        var (part, total) = (range[6..].Split('/')[0], range.Split('/')[1]);
        Assert.That(request.ContentLength, Is.Not.Null, "Content-Length is needed");
        await using (var file = new FileStream(session.Path, FileMode.Append))
        {
            if (part != "*")
            {
                var (from, to) = (long.Parse(part.Split('-')[0], CultureInfo.InvariantCulture), long.Parse(part.Split('-')[1], CultureInfo.InvariantCulture));
                Assert.That(from, Is.EqualTo(file.Length), "what has arrived is not sent again");
                Assert.That(request.ContentLength, Is.EqualTo(to - from + 1));
                if (total == "*" && (to - from + 1) % Unit != 0)
                {
                    throw BigQueryFailure.Invalid("Invalid request. The number of bytes uploaded is required to be equal or greater than 262144, except for the final request.");
                }

                Longest = Math.Max(Longest, to - from + 1);
                var bytes = new MemoryStream();
                await request.Body.CopyToAsync(bytes);
                await file.WriteAsync(bytes.GetBuffer().AsMemory(0, (int)Math.Max(0, bytes.Length - shortBy)));
            }

            session.Received = file.Length;
        }

        if (total == "*" || session.Received < long.Parse(total, CultureInfo.InvariantCulture))
        {
            return (null, session.Path, session.Received);
        }

        // Only what was said to be all of it is; after that, the session answers with its job.
        Assert.That(session.Received, Is.EqualTo(long.Parse(total, CultureInfo.InvariantCulture)));
        return (session.Job, session.Path, session.Received);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed class Session(JsonObject job, string path)
    {
        public JsonObject Job => job;

        public string Path => path;

        public long Received { get; set; }
    }
}

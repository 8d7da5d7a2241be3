using System.Globalization;
using System.Net.Mime;
using System.Text.Json;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Api;

/// <summary>What is answered.</summary>
internal sealed record ApiAnswer
{
    /// <summary>The status.</summary>
    public required int Status { get; init; }

    /// <summary>The body, as text. Default none.</summary>
    public string? Body { get; init; }

    /// <summary>The body's type. Default JSON.</summary>
    public string BodyType { get; init; } = MediaTypeNames.Application.Json;

    /// <summary>The version of what is answered. Default none.</summary>
    public string? ETag { get; init; }

    /// <summary>Where what was made is. Default none.</summary>
    public string? Location { get; init; }

    /// <summary>When to ask again. Default none.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Whether it was given before, to the same request. Default false.</summary>
    public bool IsRepeated { get; init; }

    /// <summary>Writes the answer itself, for streams. Default the rest of this is written.</summary>
    public Func<HttpContext, Task>? Streams { get; init; }

    /// <summary>Nothing more to say.</summary>
    public static ApiAnswer Done { get; } = new() { Status = StatusCodes.Status204NoContent };

    /// <summary>A value.</summary>
    public static ApiAnswer Ok<T>(T value) => new() { Status = StatusCodes.Status200OK, Body = JsonSerializer.Serialize(value, ExportJson.Options) };

    /// <summary>A value with its version.</summary>
    public static ApiAnswer Ok<T>(T value, DateTimeOffset updatedAt) => Ok(value) with { ETag = TagOf(updatedAt) };

    /// <summary>What was made.</summary>
    public static ApiAnswer Created<T>(T value, string location) => Ok(value) with { Status = StatusCodes.Status201Created, Location = location };

    /// <summary>A page of a list that was asked for one more than the page has.</summary>
    public static ApiAnswer Page<T>(IReadOnlyList<T> more, int limit, Func<T, string> cursor) =>
        Ok(new ApiPage<T>([.. more.Take(limit)], more.Count > limit ? cursor(more[limit - 1]) : null));

    /// <summary>The ETag of a version.</summary>
    public static string TagOf(DateTimeOffset updatedAt) => string.Create(CultureInfo.InvariantCulture, $"\"{updatedAt.UtcTicks:x}\"");

    /// <summary>The version of an ETag; null when it is none of ours.</summary>
    public static DateTimeOffset? VersionOf(string tag) =>
        tag.Length is > 2 and < 20 && tag[0] == '"' && tag[^1] == '"'
        && long.TryParse(tag.AsSpan(1, tag.Length - 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var ticks)
        && ticks >= 0 && ticks <= DateTimeOffset.MaxValue.UtcTicks
            ? new DateTimeOffset(ticks, TimeSpan.Zero)
            : null;

    public async Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = Status;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        if (ETag is not null)
        {
            response.Headers.ETag = ETag;
        }

        if (Location is not null)
        {
            response.Headers.Location = Location;
        }

        if (RetryAfter is { } wait)
        {
            response.Headers.RetryAfter = Math.Max(1, Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }

        if (IsRepeated)
        {
            response.Headers["Idempotent-Replayed"] = "true";
        }

        if (Streams is not null)
        {
            await Streams(context).ConfigureAwait(false);
        }
        else if (Body is not null)
        {
            response.ContentType = BodyType;
            await response.WriteAsync(Body, context.RequestAborted).ConfigureAwait(false);
        }
    }
}

/// <summary>A page of a list.</summary>
/// <param name="Items">Its entries.</param>
/// <param name="NextCursor">What asks for the next page; null on the last one.</param>
internal sealed record ApiPage<T>(IReadOnlyList<T> Items, string? NextCursor);

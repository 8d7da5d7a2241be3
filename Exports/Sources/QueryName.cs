namespace Exporter.Exports.Sources;

/// <summary>Under what a query is found at ClickHouse, by who looks at it there and by us when it is to be killed.</summary>
/// <param name="Id">Its <c>query_id</c>; no other query may have it while it runs.</param>
/// <param name="Comment">What stands in <c>system.query_log.log_comment</c>.</param>
internal sealed record QueryName(string Id, string Comment)
{
    /// <summary>The comment of a query that belongs to no run.</summary>
    public const string OfNobody = """{"program":"exporter"}""";

    /// <summary>The name of a query that belongs to no run, such as one that checks a model: another one each time.</summary>
    public static QueryName Next() => new($"exporter-ask-{Guid.NewGuid():N}", OfNobody);
}

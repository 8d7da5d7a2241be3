namespace Exporter.Exports.Sources;

/// <summary>Where ClickHouse is and how it is read.</summary>
public sealed record ClickHouseOptions
{
    /// <summary>
    /// <c>Host=...;Port=8123;Protocol=http;Username=...;Password=...;Database=...</c>. The user needs SELECT only; its profile may
    /// say <c>readonly = 2</c>, but not 1, since queries carry settings.
    /// </summary>
    public required string ConnectionString { get; init; }

    /// <summary>How long a query may think before its first byte. Default 1 hour; more than zero.</summary>
    public TimeSpan FirstByteTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long nothing may come once bytes have come. Default 5 minutes; more than zero.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Further ClickHouse settings of every query, such as <c>max_memory_usage</c>. Default none.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>For logs: without the connection string.</summary>
    public override string ToString() => "ClickHouse";
}

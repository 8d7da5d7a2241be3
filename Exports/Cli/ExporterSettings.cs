using System.Net;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Cli;

/// <summary>What the program is configured with, whichever of flag, environment and file said it.</summary>
internal sealed class ExporterSettings(IReadOnlyDictionary<string, SettingValue> values, string? file)
{
    /// <summary>Everything that can be set.</summary>
    public static IReadOnlyList<SettingInfo> Known { get; } =
    [
        new("postgres", "The PostgreSQL database: postgresql://user:password@host/database, or Host=...;Username=...;Database=...", Secret: true),
        new("clickhouse", "The ClickHouse source: http://user:password@host:8123/database, or Host=...;Username=...;Database=... Of several hosts with commas between, the first that can be reached.", Secret: true),
        new("clickhouse_max_queries", "Queries of a process at once on one ClickHouse host. Default 32; from 1 to 1,000."),
        new("clickhouse_connect_attempts", "How often ClickHouse's hosts are tried in one go when none can be reached. Default 4; from 1 to 20."),
        new("clickhouse_max_replica_delay", "How far a replica may be behind for a ClickHouse host to be asked, such as 30s; 0s: never mind. Default 5m where there are several hosts; up to 7d."),
        new("clickhouse_max_execution_time", "ClickHouse's max_execution_time of each query, such as 30m. Default the server's."),
        new("clickhouse_max_memory_usage", "ClickHouse's max_memory_usage of each query, such as 4GiB. Default the server's."),
        new("clickhouse_max_threads", "ClickHouse's max_threads of each query. Default the server's; from 1 to 1,000."),
        new("clickhouse_compression", "How rows are compressed on the wire: lz4, zstd or none. Default lz4."),
        new("clickhouse_settings", "Further ClickHouse settings of each query: name=value, with commas between."),
        new("encryption_key", "Encrypts secrets and payloads: base64 of 32 bytes; older keys may follow, separated by commas.", Secret: true),
        new("encryption_key_file", "A file that holds encryption_key."),
        new("project", "The project that names are looked for in. Default default."),
        new("smtp_host", "The mail server by which notifications go out. Default none."),
        new("smtp_port", "Its port. Default 587."),
        new("smtp_tls", "How the connection to it is protected: start_tls, tls or none. Default start_tls."),
        new("smtp_user", "Who logs in there. Default nobody."),
        new("smtp_password", "The password of smtp_user.", Secret: true),
        new("smtp_from", "Who mail is from. Required with smtp_host."),
        new("worker_slots", "Batch export runs that a worker executes at once. Default 4; from 1 to 1,000."),
        new("worker_backfill_slots", "Backfills that a worker executes at once. Default 16; from 1 to 10,000."),
        new("worker_lease", "How long a worker that is not heard of keeps its runs. Default 30s; from 1s to 1h."),
        new("worker_grace", "How long a worker that is told to stop lets steps in progress go on. Default 20s; from 0s to 1h."),
        new("worker_memory", "Memory that a worker takes: slices at once follow from it. Default 512MB; from 256MB to 1TB."),
        new("worker_name", "The worker's name in views. Default machine and process id."),
        new("serve_listen", "Where the HTTP API listens: http:// or https://, address and port; several with commas between. Default http://127.0.0.1:8080."),
        new("serve_certificate_file", "The certificate for https, in PEM, with those between it and its root."),
        new("serve_certificate_key_file", "Its key, in PEM. Default the same file."),
        new("serve_proxies", "Addresses of proxies before the API, with commas between: what they say of client and scheme is believed. Default none."),
        new("serve_open_metrics", "Whether /metrics is answered without a key: true or false. Default false."),
    ];

    /// <summary>The file that was read; null when there was none.</summary>
    public string? File { get; } = file;

    public string Postgres => Required("postgres", "Set EXPORTER_POSTGRES, or postgres in exporter.yaml.");

    public string ClickHouse => Required("clickhouse", "Set EXPORTER_CLICKHOUSE, or clickhouse in exporter.yaml.");

    /// <summary>The source and its limits.</summary>
    /// <exception cref="UserErrorException">A setting is wrong.</exception>
    public ClickHouseOptions ClickHouseOptions() => new ClickHouseOptions
    {
        ConnectionString = ClickHouse,
        MaxQueriesPerHost = Number("clickhouse_max_queries", 32, 1, 1_000),
        ConnectAttempts = Number("clickhouse_connect_attempts", 4, 1, 20),
        MaxReplicaDelay = Find("clickhouse_max_replica_delay") is null
            ? null
            : Time("clickhouse_max_replica_delay", default, TimeSpan.Zero, TimeSpan.FromDays(7)),
        MaxExecutionTime = Find("clickhouse_max_execution_time") is null
            ? null
            : Time("clickhouse_max_execution_time", default, TimeSpan.FromSeconds(1), TimeSpan.FromDays(7)),
        MaxMemoryUsage = Find("clickhouse_max_memory_usage") is { } memory
            ? Values.BytesOf(memory.Text) ?? throw Refused(memory, "clickhouse_max_memory_usage", "a whole number and KiB, MiB or GiB")
            : null,
        MaxThreads = Find("clickhouse_max_threads") is null ? null : Number("clickhouse_max_threads", 1, 1, 1_000),
        Compression = Find("clickhouse_compression") is { } compression
            ? ExportJson.Find<WireCompression>(compression.Text) ?? throw Refused(compression, "clickhouse_compression", "lz4, zstd or none")
            : WireCompression.Lz4,
        Settings = Pairs("clickhouse_settings"),
    }.Validate();

    /// <summary>The mail server; null when none is set.</summary>
    /// <exception cref="UserErrorException">A setting is wrong.</exception>
    public SmtpOptions? Smtp() => Find("smtp_host") is not { } host ? null : new SmtpOptions
    {
        Host = host.Text,
        Port = Number("smtp_port", 587, 1, 65_535),
        Tls = Find("smtp_tls") is { } tls ? ExportJson.Find<SmtpTls>(tls.Text) ?? throw Refused(tls, "smtp_tls", "start_tls, tls or none") : SmtpTls.StartTls,
        User = Find("smtp_user")?.Text,
        Password = Find("smtp_password")?.Text,
        From = Required("smtp_from", "Set EXPORTER_SMTP_FROM to the address that mail is from."),
    }.Validate();

    public string Project => Find("project")?.Text ?? ProjectStore.Default;

    public int WorkerSlots => Number("worker_slots", 4, 1, 1_000);

    public int WorkerBackfillSlots => Number("worker_backfill_slots", 16, 1, 10_000);

    public TimeSpan WorkerLease => Time("worker_lease", TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));

    public TimeSpan WorkerGrace => Time("worker_grace", TimeSpan.FromSeconds(20), TimeSpan.Zero, TimeSpan.FromHours(1));

    public long WorkerMemory => Size("worker_memory", MemoryPlan.DefaultBytes, MemoryPlan.LeastBytes, 1_000_000_000_000);

    public string? WorkerName => Find("worker_name")?.Text;

    public IReadOnlyList<Uri> ServeListen => Several("serve_listen", "http://127.0.0.1:8080", "addresses such as http://127.0.0.1:8080 or https://0.0.0.0:8443", text =>
        Uri.TryCreate(text, UriKind.Absolute, out var address) && address is { Scheme: "http" or "https", PathAndQuery: "/", UserInfo: "" } ? address : null);

    public string? ServeCertificateFile => Find("serve_certificate_file")?.Text;

    public string? ServeCertificateKeyFile => Find("serve_certificate_key_file")?.Text;

    public IReadOnlyList<IPAddress> ServeProxies =>
        Several("serve_proxies", "", "IP addresses, with commas between", text => IPAddress.TryParse(text, out var address) ? address : null);

    public bool ServeOpenMetrics => Find("serve_open_metrics") is { } value
        && (bool.TryParse(value.Text, out var open) ? open : throw Refused(value, "serve_open_metrics", "true or false"));

    /// <summary>A value with where it came from; null when it is not set.</summary>
    public SettingValue? Find(string name) => values.GetValueOrDefault(name);

    /// <summary>The keys; none when none are set.</summary>
    /// <exception cref="UserErrorException">A key is not one. The message does not contain it.</exception>
    public KeyRing Keys()
    {
        if (Find("encryption_key") is not { } value)
        {
            return KeyRing.Empty;
        }

        try
        {
            return KeyRing.Parse(value.Text);
        }
        catch (FormatException error)
        {
            throw new UserErrorException("encryption_key", error.Message, "`exporter keys generate` prints a new one.", error);
        }
    }

    /// <summary>The keys, which must be there.</summary>
    /// <exception cref="UserErrorException">None is set.</exception>
    public KeyRing RequiredKeys() => Find("encryption_key") is not null ? Keys() : throw new UserErrorException(
        "encryption_key",
        "There is no key to encrypt secrets and payloads with.",
        "Set EXPORTER_ENCRYPTION_KEY; `exporter keys generate` prints a new one, to be kept as long as the database.");

    private string Required(string name, string advice) =>
        Find(name)?.Text ?? throw new UserErrorException(name, $"{name} is not set.", advice);

    private Dictionary<string, string> Pairs(string name)
    {
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in Find(name)?.Text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [])
        {
            var parts = pair.Split('=', 2, StringSplitOptions.TrimEntries);
            if (parts.Length < 2 || parts[0].Length == 0 || !parts[0].All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '_')
                || parts[0].StartsWith("param_", StringComparison.Ordinal))
            {
                throw new UserErrorException(name, $"{name} has \"{pair}\" in it.", "Write name=value, with commas between.");
            }

            pairs[parts[0]] = parts[1];
        }

        return pairs;
    }

    private IReadOnlyList<T> Several<T>(string name, string usual, string wanted, Func<string, T?> read)
        where T : class
    {
        var value = Find(name) ?? new SettingValue(usual, "default");
        return [.. value.Text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(text => read(text) ?? throw Refused(value, name, wanted))];
    }

    private static UserErrorException Refused(SettingValue value, string name, string wanted) => new(name, $"{name} is \"{value.Text}\".", $"Give {wanted}.");

    private int Number(string name, int usual, int least, int most)
    {
        if (Find(name) is not { } value)
        {
            return usual;
        }

        return int.TryParse(value.Text, out var number) && number >= least && number <= most
            ? number
            : throw new UserErrorException(name, $"{name} is \"{value.Text}\".", $"Give a whole number from {least:N0} to {most:N0}.");
    }

    private long Size(string name, long usual, long least, long most)
    {
        if (Find(name) is not { } value)
        {
            return usual;
        }

        return ByteSize.TryParse(value.Text, out var bytes) && bytes >= least && bytes <= most
            ? bytes
            : throw new UserErrorException(
                name, $"{name} is \"{value.Text}\".", $"Give a size from {ByteSize.Format(least)} to {ByteSize.Format(most)}, such as 512MB or 1GiB.");
    }

    private TimeSpan Time(string name, TimeSpan usual, TimeSpan least, TimeSpan most)
    {
        if (Find(name) is not { } value)
        {
            return usual;
        }

        return Duration.TryParse(value.Text, out var time) && time >= least && time <= most
            ? time
            : throw new UserErrorException(
                name, $"{name} is \"{value.Text}\".", $"Give a duration from {Duration.Format(least)} to {Duration.Format(most)}, such as 30s.");
    }
}

/// <summary>Something that can be set, by file, by environment as <c>EXPORTER_</c> and its name in capitals, and mostly by flag.</summary>
internal sealed record SettingInfo(string Name, string Description, bool Secret = false)
{
    public string Variable => "EXPORTER_" + Name.ToUpperInvariant();
}

/// <summary>A value and where it came from.</summary>
/// <param name="Text">The value.</param>
/// <param name="Source">The flag, the variable or the file.</param>
internal sealed record SettingValue(string Text, string Source);

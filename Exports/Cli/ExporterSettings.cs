using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;

namespace Exporter.Exports.Cli;

/// <summary>What the program is configured with, whichever of flag, environment and file said it.</summary>
internal sealed class ExporterSettings(IReadOnlyDictionary<string, SettingValue> values, string? file)
{
    /// <summary>Everything that can be set.</summary>
    public static IReadOnlyList<SettingInfo> Known { get; } =
    [
        new("postgres", "The PostgreSQL database: postgresql://user:password@host/database, or Host=...;Username=...;Database=...", Secret: true),
        new("clickhouse", "The ClickHouse source: http://user:password@host:8123/database, or Host=...;Username=...;Database=...", Secret: true),
        new("encryption_key", "Encrypts secrets and payloads: base64 of 32 bytes; older keys may follow, separated by commas.", Secret: true),
        new("encryption_key_file", "A file that holds encryption_key."),
        new("worker_slots", "Batch export runs that a worker executes at once. Default 4; from 1 to 1,000."),
        new("worker_backfill_slots", "Backfills that a worker executes at once. Default 16; from 1 to 10,000."),
        new("worker_lease", "How long a worker that is not heard of keeps its runs. Default 30s; from 1s to 1h."),
        new("worker_grace", "How long a worker that is told to stop lets steps in progress go on. Default 20s; from 0s to 1h."),
        new("worker_memory", "Memory that a worker takes: slices at once follow from it. Default 512MB; from 256MB to 1TB."),
        new("worker_name", "The worker's name in views. Default machine and process id."),
    ];

    /// <summary>The file that was read; null when there was none.</summary>
    public string? File { get; } = file;

    public string Postgres => Required("postgres", "Set EXPORTER_POSTGRES, or postgres in exporter.yaml.");

    public string ClickHouse => Required("clickhouse", "Set EXPORTER_CLICKHOUSE, or clickhouse in exporter.yaml.");

    public int WorkerSlots => Number("worker_slots", 4, 1, 1_000);

    public int WorkerBackfillSlots => Number("worker_backfill_slots", 16, 1, 10_000);

    public TimeSpan WorkerLease => Time("worker_lease", TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));

    public TimeSpan WorkerGrace => Time("worker_grace", TimeSpan.FromSeconds(20), TimeSpan.Zero, TimeSpan.FromHours(1));

    public long WorkerMemory => Size("worker_memory", MemoryPlan.DefaultBytes, MemoryPlan.LeastBytes, 1_000_000_000_000);

    public string? WorkerName => Find("worker_name")?.Text;

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

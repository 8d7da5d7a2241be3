using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Exporter.Exports.Cli;

/// <summary>What a command works with; connections are opened when first used.</summary>
internal sealed class Session : IAsyncDisposable
{
    private readonly Lazy<NpgsqlDataSource> _data;
    private readonly Lazy<PayloadCodec> _codec;

    public Session(ExporterSettings settings, Output output)
    {
        Settings = settings;
        Output = output;
        _data = new(() => NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(settings.Postgres) { ApplicationName = "exporter cli" }));
        _codec = new(() => new PayloadCodec(settings.RequiredKeys()));
    }

    public ExporterSettings Settings { get; }

    public Output Output { get; }

    /// <summary>Who does it, for the audit log.</summary>
    public string Actor { get; } = Environment.UserName;

    public NpgsqlDataSource Data => _data.Value;

    public PayloadCodec Codec => _codec.Value;

    public EngineClient Engine => new(Data, Codec);

    public ProjectStore Projects => new(Data);

    public DestinationStore Destinations => new(Data, Codec, Settings.Project);

    public BatchExportStore Exports => new(Data, Engine, new ScheduleClient(Data, Codec), Settings.Project);

    public RunStore Runs => new(Data);

    public AttemptStore Attempts => new(Data);

    public QuarantineStore Quarantine => new(Data, Codec);

    public VerificationStore Verifications => new(Data, Engine, Runs);

    public RunControl Control => new(Data, Engine, Runs);

    public DeliveryStore Deliveries => new(Data, Codec, Destinations);

    public NotificationStore Notifications => new(Data, Codec, Settings.Project);

    public AuditStore Audit => new(Data);

    public UserStore Users => new(Data);

    public RequestStore Requests => new(Data, Codec);

    public ApiKeyStore ApiKeys => new(Data);

    public ExportControl ExportControl => new(Data, Exports, Backfills, Runs, new ScheduleClient(Data, Codec));

    public BackfillStore Backfills => new(Data, Engine, Runs);

    /// <summary>The source, which the caller disposes of.</summary>
    public ClickHouseSource OpenSource() => new(Settings.ClickHouseOptions(), TimeProvider.System, NullLogger<ClickHouseSource>.Instance);

    /// <summary>Asks the source whether a model's table and columns are there.</summary>
    public async Task CheckAsync(SourceModel model, CancellationToken cancellationToken)
    {
        using var source = OpenSource();
        await source.DescribeAsync(model, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (_data.IsValueCreated)
        {
            await _data.Value.DisposeAsync().ConfigureAwait(false);
        }
    }
}

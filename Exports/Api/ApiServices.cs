using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Api;

/// <summary>What handlers call: the classes that the commands of the CLI call.</summary>
internal sealed class ApiServices(
    ProjectStore projects,
    DestinationStore destinations,
    BatchExportStore exports,
    ExportControl exportControl,
    RunStore runs,
    RunControl runControl,
    AttemptStore attempts,
    VerificationStore verifications,
    QuarantineStore quarantine,
    BackfillStore backfills,
    DeliveryStore deliveries,
    NotificationStore notifications,
    AuditStore audit,
    EngineViews engineViews,
    EngineClient engine,
    UserStore users,
    SessionStore sessions,
    ApiKeyStore keys,
    ClickHouseSource? source = null,
    SmtpOptions? smtp = null)
{
    public ProjectStore Projects => projects;

    public DestinationStore Destinations => destinations;

    public BatchExportStore Exports => exports;

    public ExportControl ExportControl => exportControl;

    public RunStore Runs => runs;

    public RunControl RunControl => runControl;

    public AttemptStore Attempts => attempts;

    public VerificationStore Verifications => verifications;

    public QuarantineStore Quarantine => quarantine;

    public BackfillStore Backfills => backfills;

    public DeliveryStore Deliveries => deliveries;

    public NotificationStore Notifications => notifications;

    public Notifier Notifier => new(TimeProvider.System, smtp);

    public AuditStore Audit => audit;

    public EngineViews EngineViews => engineViews;

    public EngineClient Engine => engine;

    public UserStore Users => users;

    public SessionStore Sessions => sessions;

    public ApiKeyStore Keys => keys;

    /// <summary>The source, which asks ClickHouse.</summary>
    /// <exception cref="UserErrorException">The host has none.</exception>
    public ClickHouseSource Source => source ?? throw new UserErrorException(
        "clickhouse", "This server has no ClickHouse source, so it cannot ask one.", "Set EXPORTER_CLICKHOUSE, or ask with skip_check=true where there is that.", reason: UserErrorReason.Conflict);

    /// <summary>Asks the source about a model.</summary>
    public Task DescribeAsync(SourceModel model, CancellationToken cancellationToken) => Source.DescribeAsync(model, cancellationToken);

    /// <summary>Says what a run or a backfill would move.</summary>
    public ExportEstimator Estimator => new(Source, new SliceCounter(Source), runs);
}

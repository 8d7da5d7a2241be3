using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>What the parts of one worker's session share.</summary>
internal sealed record WorkerServices(
    Guid WorkerId,
    WorkerOptions Options,
    CommitWriter Writer,
    WriteStore Writes,
    EventStore Events,
    EngineClient Client,
    PayloadCodec Codec,
    TimeProvider Time,
    EngineMetrics Metrics,
    WorkerSignals Signals,
    ILogger Logger);

using Exporter.Engine.Workers;
using Exporter.Exports.Api;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports;

/// <summary>What a host has of batch exports: configuration and looking always, the rest as it is given.</summary>
public sealed record BatchExportsOptions
{
    /// <summary>The connection string of the PostgreSQL database; its schemas are made by <see cref="Model.ExportSchema.MigrateAsync"/>.</summary>
    public required string Postgres { get; init; }

    /// <summary>Encrypts secrets and payloads: base64 of 32 bytes, older keys may follow, with commas between; <c>exporter keys generate</c> prints one.</summary>
    public required string EncryptionKey { get; init; }

    /// <summary>Where rows are read. Default none: then nothing is planned, and this host executes nothing.</summary>
    public ClickHouseOptions? Source { get; init; }

    /// <summary>How this host executes batch export runs. Default four at once; null: it executes nothing.</summary>
    public WorkerOptions? Worker { get; init; } = new() { Slots = 4 };

    /// <summary>Backfills that it executes at once. Default 16; from 1.</summary>
    public int BackfillSlots { get; init; } = 16;

    /// <summary>Memory that moving rows may take. Default 512 MB; at least 256 MB.</summary>
    public long WorkerMemory { get; init; } = MemoryPlan.DefaultBytes;

    /// <summary>The HTTP API, which <see cref="BatchExportsHosting.MapBatchExports"/> mounts. Default as it is; null: there is none.</summary>
    public BatchExportsApiOptions? Api { get; init; } = new();
}

using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>What lies at the destinations, beside what the source has and what the tables say; its text is the line that is printed.</summary>
internal sealed class ExportChaosVerdict(ExportChaosSettings settings, TestDatabase database, LocalClickHouse clickHouse, string table)
{
    private readonly List<string> _wrong = [];
    private int _exports;
    private long _rows;
    private long _sourceRows;
    private long _destinationRows;
    private long _twice;
    private long _missing;
    private long _slices;
    private long _attempts;
    private long _failed;
    private long _memory;
    private long _resent;

    public int Cycles { get; init; }

    public int Kills { get; init; }

    public int Freezes { get; init; }

    public long Cuts { get; init; }

    /// <summary>Requests and connections to destinations that were made to fail.</summary>
    public long DestinationFaults { get; init; }

    /// <summary>Everything that is not as it must be, in words.</summary>
    public IReadOnlyList<string> Wrong => _wrong;

    // Without a row or a fault, nothing was shown.
    public bool IsGood => _wrong.Count == 0 && _exports == settings.Exports && _rows > 0 && _twice == 0 && _missing == 0 && _slices > _exports && Kills + Freezes + Cuts > 0;

    /// <summary>Judges one export by its files, brought to a folder.</summary>
    public async Task JudgeAsync(ChaosExport export, string folder, bool hasManifest)
    {
        var run = await database.Runs.GetAsync(export.RunId);
        if (run.State != "completed")
        {
            Say(export, $"is {run.State}: {run.Error}");
            return;
        }

        _exports++;
        if (hasManifest && !await CheckManifestAsync(export, folder))
        {
            return;
        }

        await CompareAsync(export, folder, run.ExportedRows);
        _rows += run.ExportedRows;
        _slices += run.SlicesCommitted;
        _resent += run.ResentBytes;
    }

    private async Task<bool> CheckManifestAsync(ChaosExport export, string folder)
    {
        // An object by which a worker tried whether the server honours conditions, when it was killed; a later try removes it.
        var files = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(folder, file))
            .Where(file => !file.StartsWith(".exporter-try-", StringComparison.Ordinal)).ToHashSet(StringComparer.Ordinal);
        var manifests = files.Where(file => Path.GetFileName(file) == ManifestDocument.FileName).ToList();
        if (manifests.Count != 1)
        {
            Say(export, $"has {manifests.Count} manifests");
            return false;
        }

        var manifest = JsonSerializer.Deserialize<ManifestDocument>(await File.ReadAllBytesAsync(Path.Combine(folder, manifests[0])), ExportJson.Indented)!;
        files.Remove(manifests[0]);
        if (!files.SetEquals(manifest.Files.Select(file => file.File)))
        {
            Say(export, $"has other files than its manifest lists: {string.Join(", ", files.Except(manifest.Files.Select(file => file.File)))}");
        }

        foreach (var file in manifest.Files.Where(file => files.Contains(file.File)))
        {
            var bytes = await File.ReadAllBytesAsync(Path.Combine(folder, file.File));
            if (bytes.Length != file.Bytes || Convert.ToHexStringLower(SHA256.HashData(bytes)) != file.Sha256)
            {
                Say(export, $"has a file whose bytes are not those that were committed: {file.File}");
            }
        }

        var receipts = await database.Runs.ReceiptsAsync(export.RunId);
        if (!receipts.Where(receipt => receipt.File is not null).Select(receipt => (receipt.File, receipt.Sha256)).SequenceEqual(manifest.Files.Select(file => ((string?)file.File, (string?)file.Sha256))))
        {
            Say(export, "has other slices in its manifest than in exports.slices");
        }

        return true;
    }

    /// <summary>Counts what went wrong on the way.</summary>
    public async Task CountAsync()
    {
        _attempts = await database.ScalarAsync<long>("select count(*) from exports.slice_attempts");
        _failed = await database.ScalarAsync<long>("select count(*) from exports.slice_attempts where state <> 'committed'");
        await clickHouse.ExecuteAsync("SYSTEM FLUSH LOGS query_log");
        _memory = long.Parse(
            await clickHouse.ExecuteAsync($"SELECT count() FROM system.query_log WHERE exception_code = 241 AND position(query, '{table.Split('.')[0]}') > 0"), CultureInfo.InvariantCulture);
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{settings.Destination ?? "files and s3"}: seed {settings.Seed}, cycles {Cycles}, exports {_exports} of {settings.Exports}, slices {_slices}, rows in the source {_sourceRows}, rows in the destination {_destinationRows}, twice {_twice}, missing {_missing}, kills {Kills}, freezes {Freezes}, cuts {Cuts}, memory limits {_memory}, faults of the destination {DestinationFaults}, attempts {_attempts} of which {_failed} were lost or failed, bytes sent again {_resent}, wrong {_wrong.Count}");

    // Every key once, and with its own text.
    private async Task CompareAsync(ChaosExport export, string folder, long exported)
    {
        const string Sums = "SELECT count(), uniqExact(id), sum(cityHash64(id, text)) FROM";
        var (files, kind) = export.Format switch
        {
            FileFormat.Parquet => ("**/*.parquet", "Parquet"),
            null => ("rows.jsonl", "JSONEachRow"),
            _ => ("**/*.jsonl.zst", "JSONEachRow"),
        };
        var there = await clickHouse.ExecuteAsync($"{Sums} file('{folder}/{files}', '{kind}', 'id UInt64, text String')");
        var source = await clickHouse.ExecuteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{Sums} {table} WHERE timestamp >= '{export.Interval.Start:yyyy-MM-dd HH:mm:ss}' AND timestamp < '{export.Interval.End:yyyy-MM-dd HH:mm:ss}'"));
        var (thereCounts, sourceCounts) = (Numbers(there), Numbers(source));
        _sourceRows += sourceCounts[0];
        _destinationRows += thereCounts[0];
        _twice += thereCounts[0] - thereCounts[1];
        _missing += sourceCounts[1] - thereCounts[1];
        if (there != source)
        {
            Say(export, $"has other rows than the source (count, keys, hash): {there} instead of {source}");
        }

        if (!source.StartsWith(string.Create(CultureInfo.InvariantCulture, $"{exported}\t"), StringComparison.Ordinal))
        {
            Say(export, $"says {exported} rows, and the source has (count, keys, hash) {source}");
        }
    }

    private static long[] Numbers(string row) => [.. row.Split('\t').Take(2).Select(text => long.Parse(text, CultureInfo.InvariantCulture))];

    private void Say(ChaosExport export, string what) => _wrong.Add($"run {export.RunId} {what}");
}

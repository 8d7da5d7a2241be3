using System.Collections.Concurrent;
using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// Rows in a table in BigQuery. A slice's rows are loaded as a Parquet file into a staging table of the claim's own, and brought from there in one
/// transaction with the slice's row in the table of commits.
/// </summary>
internal sealed class BigQueryDestination : IDestination
{
    private readonly BigQueryOptions _options;
    private readonly FormatOptions _format;
    private readonly IBigQueryClient _client;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _one = new(1);
    private readonly List<BigQueryCommitter> _committers = [];

    // Of attempts that have looked for a commit and have not opened their slice yet: they need not claim it again.
    private readonly ConcurrentDictionary<SliceAddress, BigQueryClaim> _claimed = new();
    private (BigQueryTarget Target, BigQueryCommits Commits, BigQueryCommitter Committer)? _table;
    private (string Schema, IReadOnlyList<BigQueryColumn> Columns, BigQueryStatements Statements)? _prepared;

    /// <summary>Makes a destination; it connects when it is first used.</summary>
    /// <param name="options">The dataset and the table.</param>
    /// <param name="format">The export's format; of Parquet it is the load jobs' too.</param>
    /// <param name="client">The way to BigQuery. Default its REST API.</param>
    public BigQueryDestination(BigQueryOptions options, FormatOptions format, IBigQueryClient? client = null)
    {
        (_options, _time) = (options, TimeProvider.System);
        _format = format.Format == FileFormat.Parquet ? format : new FormatOptions();

        // https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_compression has all others.
        _format = _format.Compression == Compression.Brotli ? _format with { Compression = Compression.Zstd, CompressionLevel = null } : _format;
        _client = client ?? new BigQueryClient(options, _time);
    }

    public bool TakesSourceTypes => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) => new BigQueryCheck(this, _options, _client, _format, _time).RunAsync(cancellationToken);

    public async Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        var (_, commits, _) = await TableAsync(address.Export, cancellationToken).ConfigureAwait(false);
        var claim = await commits.ClaimAsync(_client, address, cancellationToken).ConfigureAwait(false);
        if (claim.Before is { By: { } by } before && by == address.StepKey)
        {
            // Who has committed it may have died before this.
            await _client.DropAsync(BigQueryStatements.StageOf(before.Id), cancellationToken).ConfigureAwait(false);
            return new CommittedSlice(new SliceReceipt { Slice = address.Slice, Rows = before.Rows, Bytes = before.Bytes }, before.Note);
        }

        _claimed[address] = claim;
        return null;
    }

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var (target, commits, committer) = await TableAsync(address.Export, cancellationToken).ConfigureAwait(false);
        var (columns, statements) = await PrepareAsync(target, commits, schema, cancellationToken).ConfigureAwait(false);
        var claim = _claimed.TryRemove(address, out var claimed) ? claimed : await commits.ClaimAsync(_client, address, cancellationToken).ConfigureAwait(false);
        target.CheckReplaces(claim.Before);
        return new BigQuerySliceSink(new BigQuerySlice(address, claim, statements, columns, schema), _options, _client, committer, _format, _time);
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var (target, commits, _) = await TableAsync(manifest.Export, cancellationToken).ConfigureAwait(false);
        var found = await commits.FindAsync(_client, manifest, cancellationToken).ConfigureAwait(false);
        var there = found.Where(row => row.Commit is not null).ToDictionary(row => row.Slice);
        CommittedRows.Compare(manifest, slice => there.GetValueOrDefault(slice)?.Commit?.Rows, target.Text, BigQueryCommits.NameOf(target.TableName));

        // Claims that died, and slices that this run has not. Newer claims are of somebody who has a slice open.
        var slices = manifest.Slices.Select(slice => slice.Slice).ToHashSet();
        var others = found.Where(row => !slices.Contains(row.Slice) || (row.Commit is null && string.CompareOrdinal(row.Id, there[row.Slice].Id) < 0)).ToList();
        if (others.Count == 0)
        {
            return;
        }

        foreach (var row in others)
        {
            target.CheckReplaces(row.Commit);
        }

        // Their staging tables first: of what is forgotten nobody knows them.
        foreach (var row in others)
        {
            await _client.DropAsync(BigQueryStatements.StageOf(row.Id), cancellationToken).ConfigureAwait(false);
        }

        await commits.ForgetAsync(_client, manifest, others, target, cancellationToken).ConfigureAwait(false);
    }

    public ColumnLimit? LimitOf(Field field) => BigQueryType.LimitOf(field);

    public ExportError? Classify(Exception exception) => BigQueryErrors.Sort(exception, _options);

    public async ValueTask DisposeAsync()
    {
        foreach (var committer in _committers)
        {
            await committer.DisposeAsync().ConfigureAwait(false);
        }

        _client.Dispose();
        _one.Dispose();
    }

    // One instance serves one run, so one table; a check has none.
    private async Task<(BigQueryTarget Target, BigQueryCommits Commits, BigQueryCommitter Committer)> TableAsync(string export, CancellationToken cancellationToken)
    {
        var name = _options.TableOf(export);
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_table is not { } table || table.Target.TableName != name)
            {
                var commits = new BigQueryCommits(_options, name);
                await commits.EnsureAsync(_client, cancellationToken).ConfigureAwait(false);
                table = (new BigQueryTarget(_options, name), commits, new BigQueryCommitter(_client, commits));
                _committers.Add(table.Committer);
                (_table, _prepared) = (table, null);
            }

            return table;
        }
        finally
        {
            _one.Release();
        }
    }

    // Once for a run, since all of its slices have the same columns.
    private async Task<(IReadOnlyList<BigQueryColumn> Columns, BigQueryStatements Statements)> PrepareAsync(
        BigQueryTarget target, BigQueryCommits commits, Schema schema, CancellationToken cancellationToken)
    {
        if (schema.FieldsList.Count == 0)
        {
            // A slice that is thrown away.
            return ([], new BigQueryStatements(_options, target, commits, []));
        }

        var text = target.TableName + string.Join('\n', schema.FieldsList.Select(field => $"{field.Name} {BigQueryType.Of(field)} {field.IsNullable}"));
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_prepared is not { } prepared || prepared.Schema != text)
            {
                var columns = await target.EnsureAsync(_client, schema, cancellationToken).ConfigureAwait(false);
                var statements = new BigQueryStatements(_options, target, commits, columns);
                if (statements.Remembered() is { } remembered)
                {
                    await _client.CreateAsync(remembered, cancellationToken).ConfigureAwait(false);
                }

                _prepared = prepared = (text, columns, statements);
            }

            return (prepared.Columns, prepared.Statements);
        }
        finally
        {
            _one.Release();
        }
    }
}

using System.Collections.Concurrent;
using Apache.Arrow;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Destinations.Staging;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Rows in a table in Snowflake. A slice's rows are staged as a Parquet file, copied into a staging table of the claim's own, and brought from
/// there in one transaction with the slice's row in <c>_EXPORTER_COMMITS</c>.
/// </summary>
internal sealed class SnowflakeDestination : IDestination
{
    private readonly SnowflakeOptions _options;
    private readonly FormatOptions _format;
    private readonly StagedFiles _files;
    private readonly SnowflakeStage _stage;
    private readonly ISnowflakeClient _client;
    private readonly SnowflakeCommits _commits;
    private readonly SemaphoreSlim _one = new(1);

    // Of attempts that have looked for a commit and have not opened their slice yet: they need not claim it again.
    private readonly ConcurrentDictionary<SliceAddress, SnowflakeClaim> _claimed = new();
    private (string Target, string Schema, IReadOnlyList<SnowflakeColumn> Columns)? _prepared;
    private bool _hasCommits;

    /// <summary>Makes a destination; it connects when it is first used.</summary>
    /// <param name="options">The account and the table.</param>
    /// <param name="stage">The bucket for staged files.</param>
    /// <param name="format">The export's format; of Parquet it is the staged files' too.</param>
    /// <param name="client">The way to Snowflake. Default the SQL API.</param>
    public SnowflakeDestination(SnowflakeOptions options, S3Options stage, FormatOptions format, ISnowflakeClient? client = null)
    {
        (_options, _commits) = (options, new SnowflakeCommits(options));
        _format = format.Format == FileFormat.Parquet ? format : new FormatOptions();
        (_files, _stage) = (new StagedFiles(stage), new SnowflakeStage(options, stage));
        _client = client ?? new SnowflakeClient(options, TimeProvider.System);
    }

    public bool TakesSourceTypes => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new SnowflakeCheck(this, _options, _client, new SnowflakeFiles(_files, _stage), _format).RunAsync(cancellationToken);

    public async Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        var claim = await ClaimAsync(address, cancellationToken).ConfigureAwait(false);
        if (claim.Before is { By: { } by } before && by == address.StepKey)
        {
            return new CommittedSlice(new SliceReceipt { Slice = address.Slice, Rows = before.Rows, Bytes = before.Bytes }, before.Note);
        }

        _claimed[address] = claim;
        return null;
    }

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var target = new SnowflakeTarget(_options, _options.TableOf(address.Export));
        var columns = await PrepareAsync(target, schema, cancellationToken).ConfigureAwait(false);
        var claim = _claimed.TryRemove(address, out var claimed) ? claimed : await ClaimAsync(address, cancellationToken).ConfigureAwait(false);
        target.CheckReplaces(claim.Before);
        await _files.RemoveAsync(address, cancellationToken).ConfigureAwait(false);
        return new SnowflakeSliceSink(new SnowflakeSlice(_options, target, address, claim, columns, schema), _client, new SnowflakeFiles(_files, _stage), _commits, _format);
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        await EnsureCommitsAsync(cancellationToken).ConfigureAwait(false);
        var target = new SnowflakeTarget(_options, _options.TableOf(manifest.Export));
        var found = await _commits.FindAsync(_client, manifest, cancellationToken).ConfigureAwait(false);
        CommittedRows.Compare(manifest, slice => found.GetValueOrDefault(slice)?.Rows, target.Text, SnowflakeCommits.TableName);
        var kept = manifest.Slices.Select(slice => slice.Slice).ToHashSet();
        if (found.Keys.Any(slice => !kept.Contains(slice)))
        {
            foreach (var commit in found.Where(pair => !kept.Contains(pair.Key)).Select(pair => pair.Value))
            {
                target.CheckReplaces(commit);
            }

            await _commits.ForgetOthersAsync(_client, manifest, target, cancellationToken).ConfigureAwait(false);
        }

        await ReleaseAsync(manifest, cancellationToken).ConfigureAwait(false);
    }

    public ColumnLimit? LimitOf(Field field) => SnowflakeType.LimitOf(field);

    public ExportError? Classify(Exception exception) => SnowflakeErrors.Sort(exception, _options) ?? _files.Classify(exception);

    public ValueTask DisposeAsync()
    {
        _files.Dispose();
        _stage.Dispose();
        _client.Dispose();
        _one.Dispose();
        return ValueTask.CompletedTask;
    }

    // What killed attempts have left: their staging tables and files.
    private async Task ReleaseAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var start = SnowflakeStatements.StagesOf(manifest.Export, manifest.Interval);
        var tables = await _client.ExecuteAsync(
            $"SHOW TABLES LIKE {SnowflakeName.Literal(start + "%")} IN SCHEMA {SnowflakeName.Quoted(_options.DatabaseName, _options.SchemaName)}", cancellationToken).ConfigureAwait(false);
        for (var row = 0; row < tables.Rows.Count; row++)
        {
            // In LIKE an underscore is any letter.
            if (tables.Value(row, "name") is { } name && name.StartsWith(start, StringComparison.Ordinal))
            {
                await _client.ExecuteAsync($"DROP TABLE IF EXISTS {_options.InSchema(name)}", cancellationToken).ConfigureAwait(false);
            }
        }

        await _files.RemoveAsync(manifest, cancellationToken).ConfigureAwait(false);
    }

    private async Task<SnowflakeClaim> ClaimAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        await EnsureCommitsAsync(cancellationToken).ConfigureAwait(false);
        return await _commits.ClaimAsync(_client, address, cancellationToken).ConfigureAwait(false);
    }

    private async Task EnsureCommitsAsync(CancellationToken cancellationToken)
    {
        if (!_hasCommits)
        {
            await _commits.EnsureAsync(_client, cancellationToken).ConfigureAwait(false);
            _hasCommits = true;
        }
    }

    // Once for a run, since all of its slices have the same columns.
    private async Task<IReadOnlyList<SnowflakeColumn>> PrepareAsync(SnowflakeTarget target, Schema schema, CancellationToken cancellationToken)
    {
        if (schema.FieldsList.Count == 0)
        {
            // A slice that is thrown away.
            return [];
        }

        var text = string.Join('\n', schema.FieldsList.Select(field => $"{field.Name} {SnowflakeType.Of(field)} {field.IsNullable}"));
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_prepared is { } prepared && prepared.Target == target.Name && prepared.Schema == text)
            {
                return prepared.Columns;
            }

            var columns = await target.EnsureAsync(_client, schema, cancellationToken).ConfigureAwait(false);
            if (new SnowflakeStatements(_options, target, columns, "").CreateRemembered() is { } remembered)
            {
                await _client.ExecuteAsync(remembered, cancellationToken).ConfigureAwait(false);
            }

            _prepared = (target.Name, text, columns);
            return columns;
        }
        finally
        {
            _one.Release();
        }
    }
}

using System.Collections.Concurrent;
using Apache.Arrow;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Destinations.Staging;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// Rows in a table in Amazon Redshift. A slice's rows are staged as a Parquet file and copied, or inserted into a temporary table, and brought into the target in one
/// transaction with the slice's row in <c>_exporter_commits</c>.
/// </summary>
internal sealed class RedshiftDestination : IDestination
{
    private readonly RedshiftOptions _options;
    private readonly FormatOptions _format;
    private readonly StagedFiles? _files;
    private readonly RedshiftConnections _server;
    private readonly SemaphoreSlim _one = new(1);

    // Of attempts that have looked for a commit and have not opened their slice yet: they need not claim it again.
    private readonly ConcurrentDictionary<SliceAddress, RedshiftClaim> _claimed = new();
    private (string Target, string Schema, IReadOnlyList<RedshiftColumn> Columns)? _prepared;
    private bool _hasCommits;

    /// <summary>Makes a destination; it connects when it is first used.</summary>
    /// <param name="options">The server and the table.</param>
    /// <param name="stage">The bucket for staged files; null when rows are inserted.</param>
    /// <param name="format">The export's format; of Parquet it is the staged files' too.</param>
    public RedshiftDestination(RedshiftOptions options, S3Options? stage, FormatOptions format)
    {
        _options = options;
        _server = new RedshiftConnections(options, options.DataSource(), new RedshiftCommits(options));
        _files = stage is null ? null : new StagedFiles(stage);

        // Of these Redshift's documentation says that it reads them.
        _format = format is { Format: FileFormat.Parquet, Compression: Compression.Zstd or Compression.Snappy or Compression.Gzip or Compression.None } ? format : new FormatOptions();
    }

    public bool TakesSourceTypes => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new RedshiftCheck(this, _server, _files, _format).RunAsync(cancellationToken);

    public async Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        var session = await _server.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = session.ConfigureAwait(false);
        var claim = await ClaimAsync(session, address, cancellationToken).ConfigureAwait(false);
        if (claim.Before is { By: { } by } before && by == address.StepKey)
        {
            return new CommittedSlice(new SliceReceipt { Slice = address.Slice, Rows = before.Rows, Bytes = before.Bytes }, before.Note);
        }

        _claimed[address] = claim;
        return null;
    }

    public async Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken)
    {
        var session = await _server.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = session.ConfigureAwait(false);
        var target = new RedshiftTarget(_options, _options.TableOf(address.Export));
        var columns = await PrepareAsync(session, target, schema, cancellationToken).ConfigureAwait(false);
        var claim = _claimed.TryRemove(address, out var claimed) ? claimed : await ClaimAsync(session, address, cancellationToken).ConfigureAwait(false);
        target.CheckReplaces(claim.Before);
        if (_files is not null)
        {
            await _files.RemoveAsync(address, cancellationToken).ConfigureAwait(false);
        }

        var statements = new RedshiftStatements(_options, target, columns, claim.Id);
        var slice = new RedshiftSlice(_options, target, address, claim, columns, statements);
        var staged = RedshiftColumns.Of(columns, schema, _options.IsMerge, statements.IsDirect && _options.Provenance is { } provenance ? (provenance, claim.Id) : null);
        return new RedshiftSliceSink(slice, _server, _files is null ? new InsertLoad(_server, slice) : new CopyLoad(_server, slice, _files, _format, staged.Schema), staged);
    }

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var session = await _server.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = session.ConfigureAwait(false);
        await EnsureCommitsAsync(session, cancellationToken).ConfigureAwait(false);
        var target = new RedshiftTarget(_options, _options.TableOf(manifest.Export));
        var found = await _server.Commits.FindAsync(session, manifest, cancellationToken).ConfigureAwait(false);
        CommittedRows.Compare(manifest, slice => found.GetValueOrDefault(slice)?.Rows, target.Text, RedshiftCommits.TableName);
        var kept = manifest.Slices.Select(slice => slice.Slice).ToHashSet();
        if (found.Keys.Any(slice => !kept.Contains(slice)))
        {
            foreach (var commit in found.Where(pair => !kept.Contains(pair.Key)).Select(pair => pair.Value))
            {
                target.CheckReplaces(commit);
            }

            await _server.Commits.ForgetOthersAsync(session, manifest, target, cancellationToken).ConfigureAwait(false);
        }

        if (_files is not null)
        {
            await _files.RemoveAsync(manifest, cancellationToken).ConfigureAwait(false);
        }
    }

    public ColumnLimit? LimitOf(Field field) => RedshiftType.LimitOf(field, _options.IsCopy);

    public ExportError? Classify(Exception exception) => RedshiftErrors.Sort(exception, _options) ?? _files?.Classify(exception) ?? RedshiftErrors.Lost(exception, _options);

    public async ValueTask DisposeAsync()
    {
        _files?.Dispose();
        await _server.Data.DisposeAsync().ConfigureAwait(false);
        _one.Dispose();
    }

    private async Task<RedshiftClaim> ClaimAsync(RedshiftSession session, SliceAddress address, CancellationToken cancellationToken)
    {
        await EnsureCommitsAsync(session, cancellationToken).ConfigureAwait(false);
        return await _server.Commits.ClaimAsync(session, address, cancellationToken).ConfigureAwait(false);
    }

    private async Task EnsureCommitsAsync(RedshiftSession session, CancellationToken cancellationToken)
    {
        if (!_hasCommits)
        {
            await _server.Commits.EnsureAsync(session, cancellationToken).ConfigureAwait(false);
            _hasCommits = true;
        }
    }

    // Once for a run, since all of its slices have the same columns.
    private async Task<IReadOnlyList<RedshiftColumn>> PrepareAsync(RedshiftSession session, RedshiftTarget target, Schema schema, CancellationToken cancellationToken)
    {
        if (schema.FieldsList.Count == 0)
        {
            // A slice that is thrown away.
            return [];
        }

        var text = string.Join('\n', schema.FieldsList.Select(field => $"{field.Name} {RedshiftType.Of(field)} {field.IsNullable}"));
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_prepared is { } prepared && prepared.Target == target.Name && prepared.Schema == text)
            {
                return prepared.Columns;
            }

            var columns = await target.EnsureAsync(session, schema, cancellationToken).ConfigureAwait(false);
            var statements = new RedshiftStatements(_options, target, columns, "");
            if (statements.Remembered() is var (name, create))
            {
                await RedshiftTarget.CreateAsync(session, _options.SchemaName, name, create, cancellationToken).ConfigureAwait(false);
            }

            // Says what is wrong with the flag's column before a row is read.
            _ = statements.Bring().Count();
            _prepared = (target.Name, text, columns);
            return columns;
        }
        finally
        {
            _one.Release();
        }
    }
}

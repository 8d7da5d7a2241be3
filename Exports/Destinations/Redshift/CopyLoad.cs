using System.Text;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Destinations.Staging;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// Rows in a Parquet file in the bucket, and a manifest that names it (https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html): a prefix could match
/// files of others, and a missing file is an error only when the manifest says so.
/// </summary>
internal sealed class CopyLoad(RedshiftConnections server, RedshiftSlice slice, StagedFiles files, FormatOptions format, Schema schema) : IRedshiftLoad
{
    private readonly string _key = files.Key(slice.Address, slice.Claim.Id);
    private ISliceSink? _file;

    public long BytesSent => _file?.BytesSent ?? 0;

    /// <summary>Where the manifest of a file lies: beside it.</summary>
    public static string ManifestOf(string key) => key + ".manifest";

    /// <summary>Writes the manifest of one file. COPY of Parquet has to know how long the file is.</summary>
    /// <returns>Its URL.</returns>
    public static async Task<string> WriteManifestAsync(StagedFiles files, string key, long bytes, CancellationToken cancellationToken)
    {
        var document = JsonSerializer.Serialize(new { entries = new[] { new { url = files.Url(key), mandatory = true, meta = new { content_length = bytes } } } });
        await files.WriteAsync(ManifestOf(key), Encoding.UTF8.GetBytes(document), "application/json", cancellationToken).ConfigureAwait(false);
        return files.Url(ManifestOf(key));
    }

    public async Task WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        _file ??= files.Open(format, schema, slice.Address, _key);
        await _file.WriteAsync(batch, cancellationToken).ConfigureAwait(false);
    }

    public async Task<RedshiftSession> CompleteAsync(CancellationToken cancellationToken)
    {
        var receipt = await _file!.CommitAsync(cancellationToken).ConfigureAwait(false);
        await WriteManifestAsync(files, _key, receipt.Bytes, cancellationToken).ConfigureAwait(false);
        var session = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (!slice.Statements.IsDirect)
            {
                await session.ExecuteAsync(slice.Statements.CreateStage(), cancellationToken).ConfigureAwait(false);
                await session.ExecuteAsync(Copy(), cancellationToken).ConfigureAwait(false);
            }

            return session;
        }
        catch (RedshiftException error) when (!cancellationToken.IsCancellationRequested)
        {
            await session.DisposeAsync().ConfigureAwait(false);
            throw await ExplainedAsync(server, session.ProcessId, error, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await session.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The statement that loads the file.</summary>
    public RedshiftStatement Copy() => slice.Statements.Copy(files.Url(ManifestOf(_key)));

    /// <summary>The error of a COPY with what the load error views say of it, where it points to them.</summary>
    public static async Task<RedshiftException> ExplainedAsync(RedshiftConnections server, int session, RedshiftException error, CancellationToken cancellationToken)
    {
        if (!RedshiftErrors.IsLoadError(error))
        {
            return error;
        }

        try
        {
            var other = await server.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = other.ConfigureAwait(false);
            return error.With(await other.LoadErrorAsync(session, cancellationToken).ConfigureAwait(false));
        }
        catch (Exception)
        {
            return error;
        }
    }

    public async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        if (_file is not null)
        {
            await files.RemoveAsync(ManifestOf(_key), cancellationToken).ConfigureAwait(false);
            await files.RemoveAsync(_key, cancellationToken).ConfigureAwait(false);
        }
    }

    public ValueTask DisposeAsync() => _file?.DisposeAsync() ?? ValueTask.CompletedTask;
}

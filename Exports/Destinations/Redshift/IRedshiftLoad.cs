using Apache.Arrow;
using Npgsql;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>The way of a slice's rows to Redshift: into a file that COPY reads, or by INSERT.</summary>
internal interface IRedshiftLoad : IAsyncDisposable
{
    /// <summary>Bytes that have arrived somewhere so far.</summary>
    long BytesSent { get; }

    /// <summary>Sends rows as they are staged.</summary>
    Task WriteAsync(RecordBatch batch, CancellationToken cancellationToken);

    /// <summary>After the last row: a session in whose staging table they are, or from which they can be copied.</summary>
    Task<RedshiftSession> CompleteAsync(CancellationToken cancellationToken);

    /// <summary>Removes what is no longer needed, as far as it can.</summary>
    Task ReleaseAsync(CancellationToken cancellationToken);
}

/// <summary>Makes connections, and knows what is said over them.</summary>
/// <param name="Options">The destination's options.</param>
/// <param name="Data">Makes connections.</param>
/// <param name="Commits">The table of commits.</param>
internal sealed record RedshiftConnections(RedshiftOptions Options, NpgsqlDataSource Data, RedshiftCommits Commits)
{
    public Task<RedshiftSession> OpenAsync(CancellationToken cancellationToken) => RedshiftSession.OpenAsync(Data, Options, cancellationToken);
}

/// <summary>A slice that a claim has open.</summary>
internal sealed record RedshiftSlice(
    RedshiftOptions Options, RedshiftTarget Target, SliceAddress Address, RedshiftClaim Claim, IReadOnlyList<RedshiftColumn> Columns, RedshiftStatements Statements);

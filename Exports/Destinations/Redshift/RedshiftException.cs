using Npgsql;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>Redshift refused a statement. Of what the server said only what is safe is kept: no statement, and no key of it.</summary>
internal sealed class RedshiftException : Exception
{
    private RedshiftException(string message, string sqlState, string detail)
        : base(detail.Length == 0 ? message : $"{message} {detail}") => (Text, SqlState, Detail) = (message, sqlState, detail);

    /// <summary>What the server said.</summary>
    public string Text { get; }

    /// <summary>The SQLSTATE; Redshift says XX000 for most of what PostgreSQL has not.</summary>
    public string SqlState { get; }

    /// <summary>What it said besides, in one line; empty when nothing.</summary>
    public string Detail { get; }

    /// <summary>What its load error views say of a COPY that failed; null when nothing.</summary>
    public RedshiftLoadError? LoadError { get; private init; }

    public static RedshiftException Of(PostgresException error, IEnumerable<string> secrets)
    {
        return new RedshiftException(Scrub(error.MessageText), error.SqlState, Scrub(error.Detail ?? ""));

        // A message may repeat a part of the statement, and COPY has keys in it.
        string Scrub(string text)
        {
            foreach (var secret in secrets)
            {
                text = text.Replace(secret, "***", StringComparison.Ordinal);
            }

            return text.ReplaceLineEndings(" ").Trim();
        }
    }

    /// <summary>The same, with what the load error views say.</summary>
    public RedshiftException With(RedshiftLoadError? error) => error is null ? this : new RedshiftException(Text, SqlState, Detail) { LoadError = error };
}

/// <summary>A line of SYS_LOAD_ERROR_DETAIL, or of STL_LOAD_ERRORS.</summary>
/// <param name="Column">The column; empty when it is none.</param>
/// <param name="Type">Its type.</param>
/// <param name="Code">Redshift's number of the error.</param>
/// <param name="Reason">What is wrong.</param>
internal sealed record RedshiftLoadError(string Column, string Type, int Code, string Reason);

/// <summary>An older attempt has lost its slice to a newer one; nothing of it was written.</summary>
internal sealed class RedshiftTakenException() : Exception("Another attempt has opened this slice.");

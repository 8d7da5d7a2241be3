using System.Text.RegularExpressions;
using Npgsql;

namespace Exporter.Engine.Observability;

/// <summary>Errors as they are stored and logged: one line, bounded, without what looks like a secret.</summary>
public static partial class ErrorText
{
    private const int Longest = 2000;

    /// <summary>An exception with its causes, in one line.</summary>
    public static string Of(Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        var text = Message(error);
        for (var inner = error.InnerException; inner is not null; inner = inner.InnerException)
        {
            var more = Message(inner);
            if (!text.Contains(more, StringComparison.Ordinal))
            {
                text += " Cause: " + more;
            }
        }

        return Scrub(text);
    }

    /// <summary>A text without what looks like a secret, in one line, at most 2,000 characters, storable in PostgreSQL.</summary>
    public static string Scrub(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = Secrets().Replace(text.Replace('\0', '?').ReplaceLineEndings(" "), "$1***");
        text = Credentials().Replace(text, "$1***@");
        return text.Length <= Longest ? text : text[..(Longest - 1)] + "…";
    }

    private static string Message(Exception error) => error switch
    {
        PostgresException postgres => $"{postgres.SqlState}: {postgres.MessageText}",
        _ when string.IsNullOrWhiteSpace(error.Message) => error.GetType().Name,
        _ => error.Message,
    };

    [GeneratedRegex("((?:password|passwd|pwd|secret|secret_key|secretkey|access_key|token|api_key|apikey|signature)\\s*[=:]\\s*)(?:\"[^\"]*\"|'[^']*'|[^\\s;,&\"']+)", RegexOptions.IgnoreCase)]
    private static partial Regex Secrets();

    [GeneratedRegex("(://[^/\\s:@]*:)[^/\\s@]+@")]
    private static partial Regex Credentials();
}

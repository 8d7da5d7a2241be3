using Exporter.Exports.Destinations;

namespace Exporter.Exports.Sources;

/// <summary>
/// Looks at SQL that a user wrote and that will stand in parentheses inside our query: it must not be able to leave them. What
/// the expression means is ClickHouse's to judge.
/// </summary>
internal static class SqlFragment
{
    /// <summary>Throws when the text could end the parentheses that it is put into, or add clauses or statements.</summary>
    /// <param name="setting">The setting that the text is the value of.</param>
    /// <param name="text">An expression in ClickHouse's dialect.</param>
    /// <exception cref="UserErrorException">It could.</exception>
    public static string Check(string setting, string text)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            throw Refused(setting, "is empty", "Give an expression, or leave it out.");
        }

        var closers = new Stack<char>();
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            var next = i + 1 < text.Length ? text[i + 1] : '\0';
            switch (c)
            {
                case '\'' or '"' or '`':
                    i = EndOfQuoted(setting, text, i);
                    break;
                case '(' or '[':
                    closers.Push(c == '(' ? ')' : ']');
                    break;
                case ')' or ']':
                    if (closers.Count == 0 || closers.Pop() != c)
                    {
                        throw Refused(setting, $"closes '{c}' that it did not open", "Balance its parentheses.");
                    }

                    break;
                case ';':
                    throw Refused(setting, "has ';' in it", "Give one expression, without a statement's end.");
                case '-' when next == '-':
                case '/' when next == '*':
                case '/' when next == '/':
                case '#':
                    throw Refused(setting, "has a comment in it", "Take the comment out.");
                case '{' or '}' or '$':
                    throw Refused(setting, $"has '{c}' in it", "Write values as literals.");
                case > '~' or (< ' ' and not ('\t' or '\r' or '\n')):
                    throw Refused(setting, "has a character outside ASCII outside of quotes", "Quote names with backticks and text with apostrophes.");
                default:
                    if (char.IsAsciiLetter(c) || c == '_')
                    {
                        i = EndOfWord(setting, text, i);
                    }

                    break;
            }
        }

        return closers.Count == 0
            ? text
            : throw Refused(setting, $"lacks '{closers.Peek()}'", "Balance its parentheses.");
    }

    private static int EndOfQuoted(string setting, string text, int start)
    {
        for (var i = start + 1; i < text.Length; i++)
        {
            if (text[i] == '\\')
            {
                i++;
            }
            else if (text[i] == text[start])
            {
                // A doubled quote closes and opens again, which comes to the same.
                return i;
            }
        }

        throw Refused(setting, $"has a quote {text[start]} that does not end", "Close it, or write it as a backslash and the quote.");
    }

    private static int EndOfWord(string setting, string text, int start)
    {
        var end = start;
        while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] == '_'))
        {
            end++;
        }

        var word = text[start..end].ToUpperInvariant();
        var called = text.AsSpan(end).TrimStart().StartsWith("(", StringComparison.Ordinal);
        if (word is "SETTINGS" or "OUTFILE" || (word is "FORMAT" && !called))
        {
            throw Refused(setting, $"has the word {word} in it", "Give an expression only; quote a column of that name with backticks.");
        }

        return end - 1;
    }

    private static UserErrorException Refused(string setting, string problem, string advice) =>
        new(setting, $"The SQL of \"{setting}\" {problem}.", advice);
}

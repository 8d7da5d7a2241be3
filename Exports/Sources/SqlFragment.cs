using System.Text;
using System.Text.RegularExpressions;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Sources;

/// <summary>
/// Looks at SQL that a user wrote and that will stand in parentheses inside our query: it must not be able to leave them, to write,
/// or to fetch from elsewhere than ClickHouse's own tables. What it means is ClickHouse's to judge.
/// </summary>
internal static partial class SqlFragment
{
    /// <summary>Throws when an expression could end the parentheses that it is put into, add clauses or statements, or reach out.</summary>
    /// <param name="setting">The setting that the text is the value of.</param>
    /// <param name="text">An expression in ClickHouse's dialect.</param>
    /// <exception cref="UserErrorException">It could.</exception>
    public static string Check(string setting, string text)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            throw Refused(setting, "is empty", "Give an expression, or leave it out.");
        }

        new Scan(setting, text, placeholders: null).Run();
        return text;
    }

    /// <summary>Throws when a query is not one SELECT that can stand in parentheses as a table does.</summary>
    /// <param name="setting">The setting that the text is the value of.</param>
    /// <param name="text">A query in ClickHouse's dialect.</param>
    /// <returns>The query, with its interval parameters as they are bound.</returns>
    /// <exception cref="UserErrorException">It is not.</exception>
    public static string CheckQuery(string setting, string text)
    {
        if (!Select().IsMatch(text))
        {
            throw Refused(setting, "does not begin with SELECT or WITH", "Give one SELECT.");
        }

        var placeholders = new List<Placeholder>();
        new Scan(setting, text, placeholders).Run();
        var bound = new StringBuilder(text);
        foreach (var found in Enumerable.Reverse(placeholders))
        {
            // One value serves every type: an instant to the nanosecond, whatever the server's zone is.
            bound.Remove(found.Start, found.Length).Insert(
                found.Start, $"CAST({{{found.Name}:DateTime64(9, 'UTC')}}, '{found.Type.Replace("'", "\\'", StringComparison.Ordinal)}')");
        }

        return bound.ToString();
    }

    private static UserErrorException Refused(string setting, string problem, string advice) =>
        new(setting, $"The SQL of \"{setting}\" {problem}.", advice);

    [GeneratedRegex(@"\A\s*(SELECT|WITH)\s", RegexOptions.IgnoreCase)]
    private static partial Regex Select();

    [GeneratedRegex(@"\A\s*(?<name>interval_start|interval_end)\s*:\s*(?<type>DateTime64\(\s*[0-9]\s*(,\s*'[A-Za-z0-9_+/-]+'\s*)?\)|DateTime(\(\s*'[A-Za-z0-9_+/-]+'\s*\))?|Date|Date32)\s*\z")]
    private static partial Regex Parameter();

    private readonly record struct Placeholder(int Start, int Length, string Name, string Type);

    private sealed class Scan(string setting, string text, List<Placeholder>? placeholders)
    {
        private readonly Stack<char> _closers = new();
        private string _lastWord = "";

        public void Run()
        {
            for (var i = 0; i < text.Length; i++)
            {
                i = Token(i);
            }

            if (_closers.Count > 0)
            {
                throw Refused(setting, $"lacks '{_closers.Peek()}'", "Balance its parentheses.");
            }
        }

        /// <summary>Takes what begins at <paramref name="i"/>; answers where it ends.</summary>
        private int Token(int i)
        {
            var c = text[i];
            var next = i + 1 < text.Length ? text[i + 1] : '\0';
            switch (c)
            {
                case ' ' or '\t' or '\r' or '\n':
                    return i;
                case '\'' or '"' or '`':
                    return Quoted(i);
                case '(' or '[':
                    _closers.Push(c == '(' ? ')' : ']');
                    break;
                case ')' or ']':
                    if (_closers.Count == 0 || _closers.Pop() != c)
                    {
                        throw Refused(setting, $"closes '{c}' that it did not open", "Balance its parentheses.");
                    }

                    break;
                case ';':
                    throw Refused(setting, "has ';' in it", "Take it out: it is one expression or one SELECT, without a statement's end.");
                case '-' when next == '-':
                case '/' when next is '*' or '/':
                case '#':
                    throw Refused(setting, "has a comment in it", "Take the comment out.");
                case '{' when placeholders is not null:
                    return Parameter(i);
                case '{' or '}' or '$':
                    throw Refused(setting, $"has '{c}' in it", "Write values as literals, and names with it between backticks.");
                case > '~' or < ' ':
                    throw Refused(setting, "has a character outside ASCII outside of quotes", "Quote names with backticks and text with apostrophes.");
                default:
                    if (char.IsAsciiLetter(c) || c == '_')
                    {
                        return Word(i);
                    }

                    break;
            }

            _lastWord = "";
            return i;
        }

        private int Quoted(int start)
        {
            var quote = text[start];
            var end = start + 1;
            while (end < text.Length && text[end] != quote)
            {
                end += text[end] == '\\' ? 2 : 1;
            }

            if (end >= text.Length)
            {
                throw Refused(setting, $"has a quote {quote} that does not end", "Close it, or write it as a backslash and the quote.");
            }

            if (quote != '\'' && IsCalled(end + 1))
            {
                // ClickHouse calls `url`(...) as it does url(...), and escapes would hide the name.
                throw Refused(setting, "calls a function by a name in quotes", "Write the function's name without quotes.");
            }

            if (quote == '\'' && _lastWord is "FROM" or "JOIN")
            {
                throw Refused(setting, $"has a text after {_lastWord}", "Name a table; a file cannot be read.");
            }

            // A doubled quote closes and opens again, which comes to the same.
            _lastWord = "";
            return end;
        }

        private int Word(int start)
        {
            var end = start;
            while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] == '_'))
            {
                end++;
            }

            var word = text[start..end];
            var upper = word.ToUpperInvariant();
            var called = IsCalled(end);
            if (upper is "SETTINGS" or "OUTFILE" or "INTO" || (upper is "FORMAT" or "INSERT" && !called))
            {
                throw Refused(setting, $"has the word {upper} in it", "Take it out; quote a column of that name with backticks.");
            }

            if (called && ReachingFunctions.Has(word))
            {
                throw Refused(setting, $"calls {word}(), which reads from elsewhere than ClickHouse's own tables", "Name a table.");
            }

            _lastWord = upper;
            return end - 1;
        }

        private bool IsCalled(int at)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }

            return at < text.Length && text[at] == '(';
        }

        private int Parameter(int start)
        {
            var end = text.IndexOf('}', start);
            var found = SqlFragment.Parameter().Match(end < 0 ? "" : text[(start + 1)..end]);
            if (!found.Success)
            {
                throw Refused(
                    setting,
                    "has a parameter that is not known",
                    "Write {interval_start:DateTime64(6)} or {interval_end:DateTime64(6)}, with any type of date or time; there are no others.");
            }

            placeholders!.Add(new Placeholder(start, end + 1 - start, found.Groups["name"].Value, found.Groups["type"].Value));
            _lastWord = "";
            return end;
        }
    }
}

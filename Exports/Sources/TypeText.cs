namespace Exporter.Exports.Sources;

/// <summary>Takes the text of a ClickHouse type apart, as <c>DESCRIBE</c> prints it. Pure.</summary>
internal static class TypeText
{
    /// <summary>Cuts <c>Name(a, b)</c> into its name and its arguments; commas inside parentheses, quotes and backticks do not cut.</summary>
    public static (string Name, IReadOnlyList<string> Arguments) Split(string type)
    {
        var open = type.IndexOf('(', StringComparison.Ordinal);
        if (open < 0)
        {
            return (type, []);
        }

        var inner = type.AsSpan(open + 1, type.Length - open - 2);
        if (inner.IsWhiteSpace())
        {
            return (type[..open], []);
        }

        var arguments = new List<string>();
        var from = 0;
        for (int cut; (cut = Find(inner, from, ",")) >= 0; from = cut + 1)
        {
            arguments.Add(inner[from..cut].Trim().ToString());
        }

        arguments.Add(inner[from..].Trim().ToString());
        return (type[..open], arguments);
    }

    /// <summary>An element of a Tuple or Nested: its name, as it is quoted, or nothing; and its type.</summary>
    public static (string Name, string Type) Element(string argument)
    {
        var cut = Find(argument, 0, " (");
        return cut < 0 || argument[cut] == '(' ? ("", argument) : (argument[..cut], argument[(cut + 1)..].Trim());
    }

    // The first of the letters that stands outside of parentheses and quotes; a parenthesis that is looked for opens nothing.
    private static int Find(ReadOnlySpan<char> text, int from, string letters)
    {
        var (depth, quote) = (0, '\0');
        for (var i = from; i < text.Length; i++)
        {
            var letter = text[i];
            if (quote != '\0')
            {
                i += letter == '\\' ? 1 : 0;
                quote = letter == quote ? '\0' : quote;
            }
            else if (depth == 0 && letters.Contains(letter, StringComparison.Ordinal))
            {
                return i;
            }
            else if (letter is '\'' or '`')
            {
                quote = letter;
            }
            else
            {
                depth += letter switch { '(' => 1, ')' => -1, _ => 0 };
            }
        }

        return -1;
    }
}

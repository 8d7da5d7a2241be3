using System.Text;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>Conditions as they are written on the command line: <c>properties.plan equals pro, team</c>.</summary>
internal static class ConditionText
{
    /// <summary>Reads a condition: column and path joined by dots, operator, values with commas between; each may stand in double quotes.</summary>
    /// <exception cref="UserErrorException">It is none; the setting is "where".</exception>
    public static PropertyCondition Condition(string text)
    {
        var reader = new Reader(text);
        var path = new List<string> { reader.Name('.') };
        while (reader.Take('.'))
        {
            path.Add(reader.Name('.'));
        }

        var word = reader.Name('\0');
        var found = ExportJson.Find<PropertyOperator>(word) ?? throw new UserErrorException(
            "where",
            word.Length == 0 ? $"The condition \"{text}\" has no operator." : $"\"{word}\" in the condition \"{text}\" is no operator.",
            $"Write \"column.property operator value\"; the operators are {string.Join(", ", ExportJson.Words<PropertyOperator>())}.");
        var values = new List<string>();
        if (!reader.AtEnd)
        {
            do
            {
                values.Add(reader.Value());
            }
            while (reader.Take(','));
        }

        return new PropertyCondition { Column = path[0], Path = path[1..], Operator = found, Values = values }.Validate();
    }

    /// <summary>Reads <c>column=value</c> texts; the values of one column come together, in the order of the columns.</summary>
    /// <exception cref="UserErrorException">One is none.</exception>
    public static IReadOnlyList<ColumnValues> Values(string setting, IEnumerable<string> texts)
    {
        var found = new List<ColumnValues>();
        foreach (var text in texts)
        {
            var at = text.IndexOf('=', StringComparison.Ordinal);
            if (at <= 0)
            {
                throw new UserErrorException(setting, $"\"{text}\" names no column and value.", "Write column=value.");
            }

            var (column, value) = (text[..at].Trim(), text[(at + 1)..]);
            var place = found.FindIndex(one => one.Column == column);
            if (place < 0)
            {
                found.Add(new ColumnValues(column, [value]));
            }
            else
            {
                found[place] = new ColumnValues(column, [.. found[place].Values, value]);
            }
        }

        return found;
    }

    private sealed class Reader(string text)
    {
        private int _at;

        public bool AtEnd
        {
            get
            {
                Skip();
                return _at >= text.Length;
            }
        }

        public bool Take(char wanted)
        {
            if (_at < text.Length && text[_at] == wanted)
            {
                _at++;
                return true;
            }

            return false;
        }

        /// <summary>Up to white space or <paramref name="end"/>, or what stands in double quotes.</summary>
        public string Name(char end)
        {
            Skip();
            if (_at < text.Length && text[_at] == '"')
            {
                return Quoted();
            }

            var from = _at;
            while (_at < text.Length && !char.IsWhiteSpace(text[_at]) && text[_at] != end)
            {
                _at++;
            }

            return text[from.._at];
        }

        /// <summary>Up to a comma, or what stands in double quotes.</summary>
        public string Value()
        {
            Skip();
            if (_at < text.Length && text[_at] == '"')
            {
                var quoted = Quoted();
                Skip();
                return _at == text.Length || text[_at] == ',' ? quoted : throw new UserErrorException(
                    "where", $"Something follows a quoted value in the condition \"{text}\".", "Put a comma between values.");
            }

            var from = _at;
            while (_at < text.Length && text[_at] != ',')
            {
                _at++;
            }

            return text[from.._at].TrimEnd();
        }

        private string Quoted()
        {
            var read = new StringBuilder();
            for (_at++; _at < text.Length && text[_at] != '"'; _at++)
            {
                if (text[_at] == '\\' && _at + 1 < text.Length)
                {
                    _at++;
                }

                read.Append(text[_at]);
            }

            return _at++ < text.Length ? read.ToString() : throw new UserErrorException(
                "where", $"A double quote in the condition \"{text}\" does not end.", "Close it, or write it as a backslash and the quote.");
        }

        private void Skip()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
            {
                _at++;
            }
        }
    }
}

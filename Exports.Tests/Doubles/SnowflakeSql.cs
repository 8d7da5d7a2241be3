using System.Text;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>Snowflake's SQL as far as the exporter sends it: cut into statements, and said in DuckDB's words. Pure.</summary>
internal static partial class SnowflakeSql
{
    private static readonly Dictionary<string, string> Functions = new(StringComparer.OrdinalIgnoreCase)
    {
        ["CURRENT_TRANSACTION"] = "CAST(txid_current() AS VARCHAR)",
        ["CURRENT_VERSION"] = "'9.99.0'",
    };

    /// <summary>Statements, cut at semicolons that stand in no text and no name.</summary>
    public static IReadOnlyList<string> Split(string sql) => SqlPiece.Split(sql, Positions(sql));

    /// <summary>The pieces, without blanks.</summary>
    public static IReadOnlyList<SqlPiece> Pieces(string sql) => [.. Positions(sql).Select(pair => pair.Piece)];

    /// <summary>Names with database and schema that a statement has.</summary>
    public static IEnumerable<(string Database, string Schema, string Name)> Paths(string sql) => SqlPiece.Paths(Pieces(sql));

    /// <summary>A statement in DuckDB's words.</summary>
    public static string Translate(string sql)
    {
        var pieces = Pieces(sql);
        var output = new StringBuilder();
        for (var at = 0; at < pieces.Count; at++)
        {
            var piece = pieces[at];
            var called = at + 2 < pieces.Count && pieces[at + 1].Text == "(" && pieces[at + 2].Text == ")";
            if (piece.Kind == 'w' && Functions.TryGetValue(piece.Text, out var function) && called)
            {
                output.Append(function).Append(' ');
                at += 2;
                continue;
            }

            if (piece.Kind == 'w' && piece.Text.Equals("DATA_RETENTION_TIME_IN_DAYS", StringComparison.OrdinalIgnoreCase))
            {
                at += 2;
                continue;
            }

            if (piece.Text == "TO_TIMESTAMP_LTZ" && at + 5 < pieces.Count)
            {
                output.Append(Instant(pieces[at + 2].Text, int.Parse(pieces[at + 4].Text, System.Globalization.CultureInfo.InvariantCulture)));
                at += 5;
                continue;
            }

            if (piece.Kind == 'w' && TypeOf(piece.Text, pieces, at) is var (type, taken) && type is not null)
            {
                output.Append(type).Append(' ');
                at += taken;
                continue;
            }

            output.Append(piece.Kind switch
            {
                's' => $"'{piece.Text.Replace("'", "''", StringComparison.Ordinal)}'",
                'q' => $"\"{piece.Text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"",
                _ => piece.Text,
            });
            if (piece.Text != "." && !(at + 1 < pieces.Count && pieces[at + 1].Text is "." or "("))
            {
                output.Append(' ');
            }
        }

        return output.ToString();
    }

    // Of a column and a scale.
    private static string Instant(string column, int scale) => scale == 9
        ? $"make_timestamp_ns(CAST(\"{column}\" AS BIGINT)) "
        : $"timezone('UTC', make_timestamp(CAST(\"{column}\" AS BIGINT) * {(scale == 6 ? 1 : scale == 3 ? 1_000 : 1_000_000)})) ";

    /// <summary>The columns of CREATE TABLE or ADD COLUMN, as DESCRIBE TABLE will say them.</summary>
    public static IReadOnlyList<(string Name, string Type, bool NotNull)> Columns(string definitions)
    {
        var columns = new List<(string, string, bool)>();
        foreach (var definition in AtCommas(definitions))
        {
            var match = Definition().Match(definition);
            if (match.Success)
            {
                columns.Add((
                    match.Groups["quoted"].Success ? match.Groups["quoted"].Value.Replace("\"\"", "\"", StringComparison.Ordinal) : match.Groups["bare"].Value.ToUpperInvariant(),
                    Described(match.Groups["type"].Value, match.Groups["arguments"].Value),
                    definition.Contains("NOT NULL", StringComparison.OrdinalIgnoreCase)));
            }
        }

        return columns;
    }

    private static string Described(string type, string arguments) => type.ToUpperInvariant() switch
    {
        "VARCHAR" or "TEXT" or "STRING" => $"VARCHAR({(arguments.Length > 0 ? arguments : "16777216")})",
        "NUMBER" or "NUMERIC" or "DECIMAL" => $"NUMBER({(arguments.Length == 0 ? "38,0" : arguments.Contains(',', StringComparison.Ordinal) ? arguments : arguments + ",0")})",
        "INTEGER" or "INT" or "BIGINT" or "SMALLINT" => "NUMBER(38,0)",
        "BINARY" => "BINARY(8388608)",
        "DOUBLE" => "FLOAT",
        "TIMESTAMP_LTZ" or "TIMESTAMP_NTZ" or "TIMESTAMP_TZ" => $"{type.ToUpperInvariant()}({(arguments.Length > 0 ? arguments : "9")})",
        var other => other,
    };

    private static (string? Type, int Taken) TypeOf(string word, IReadOnlyList<SqlPiece> pieces, int at)
    {
        var close = at;
        var digits = "";
        if (at + 1 < pieces.Count && pieces[at + 1].Text == "(" && at + 2 < pieces.Count && pieces[at + 2].Kind == 'w' && char.IsAsciiDigit(pieces[at + 2].Text[0]))
        {
            while (pieces[close].Text != ")")
            {
                close++;
            }

            digits = string.Concat(pieces.Skip(at + 2).Take(close - at - 2).Select(piece => piece.Text));
        }

        var taken = close - at;
        return word.ToUpperInvariant() switch
        {
            "TRANSIENT" => ("", 0),
            "VARCHAR" => ("VARCHAR", taken),
            "NUMBER" => ($"DECIMAL({(digits.Length > 0 ? digits : "38,0")})", taken),
            "FLOAT" => ("DOUBLE", 0),
            "BINARY" => ("BLOB", taken),
            "VARIANT" or "ARRAY" or "OBJECT" => ("JSON", 0),
            "TIMESTAMP_LTZ" => (digits == "9" ? "TIMESTAMP_NS" : "TIMESTAMPTZ", taken),
            "TIMESTAMP_NTZ" => ("TIMESTAMP", taken),
            _ => (null, 0),
        };
    }

    private static IEnumerable<string> AtCommas(string text)
    {
        var (from, depth) = (0, 0);
        foreach (var (at, piece) in Positions(text))
        {
            depth += piece.Text switch { "(" => 1, ")" => -1, _ => 0 };
            if (piece is { Kind: 'p', Text: "," } && depth == 0)
            {
                yield return text[from..at].Trim();
                from = at + 1;
            }
        }

        yield return text[from..].Trim();
    }

    private static IEnumerable<(int At, SqlPiece Piece)> Positions(string sql)
    {
        for (var at = 0; at < sql.Length;)
        {
            var start = at;
            var letter = sql[at];
            if (char.IsWhiteSpace(letter))
            {
                at++;
            }
            else if (letter is '\'' or '"')
            {
                var text = new StringBuilder();
                for (at++; ; at++)
                {
                    // Without an end it is no SQL.
                    if (sql[at] == letter && at + 1 < sql.Length && sql[at + 1] == letter)
                    {
                        text.Append(letter);
                        at++;
                    }
                    else if (sql[at] == letter)
                    {
                        break;
                    }
                    else if (sql[at] == '\\' && letter == '\'')
                    {
                        at++;
                        text.Append(sql[at] switch { 'n' => '\n', 't' => '\t', 'r' => '\r', '0' => '\0', var other => other });
                    }
                    else
                    {
                        text.Append(sql[at]);
                    }
                }

                at++;
                yield return (start, new SqlPiece(letter == '\'' ? 's' : 'q', text.ToString()));
            }
            else if (char.IsLetterOrDigit(letter) || letter == '_')
            {
                while (at < sql.Length && (char.IsLetterOrDigit(sql[at]) || sql[at] is '_' or '$'))
                {
                    at++;
                }

                yield return (start, new SqlPiece('w', sql[start..at]));
            }
            else
            {
                at += sql[at..].StartsWith("||", StringComparison.Ordinal) || sql[at..].StartsWith("<>", StringComparison.Ordinal)
                    || sql[at..].StartsWith("<=", StringComparison.Ordinal) || sql[at..].StartsWith(">=", StringComparison.Ordinal) || sql[at..].StartsWith("::", StringComparison.Ordinal) ? 2 : 1;
                yield return (start, new SqlPiece('p', sql[start..at]));
            }
        }
    }

    [GeneratedRegex("""^(?:"(?<quoted>(?:[^"]|"")*)"|(?<bare>\w+))\s+(?<type>\w+)\s*(?:\((?<arguments>[\d, ]+)\))?""")]
    private static partial Regex Definition();
}

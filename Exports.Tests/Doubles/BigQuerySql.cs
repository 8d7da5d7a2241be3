using System.Globalization;
using System.Text;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>GoogleSQL as far as the exporter sends it: cut into statements, and said in DuckDB's words. Pure.</summary>
internal static class BigQuerySql
{
    private static readonly Dictionary<string, string> Types = new(StringComparer.Ordinal)
    {
        ["INT64"] = "BIGINT", ["FLOAT64"] = "DOUBLE", ["STRING"] = "VARCHAR", ["BYTES"] = "BLOB", ["BOOL"] = "BOOLEAN", ["NUMERIC"] = "DECIMAL(38,9)",
        ["BIGNUMERIC"] = "VARCHAR", ["TIMESTAMP"] = "TIMESTAMPTZ", ["DATE"] = "DATE", ["JSON"] = "JSON", ["DATETIME"] = "TIMESTAMP",
    };

    /// <summary>A type of BigQuery's in DuckDB's words. A decimal of 76 digits is a text there.</summary>
    public static string Type(string type) => Types[type];

    /// <summary>Statements, cut at semicolons that stand in no text and no name.</summary>
    public static IReadOnlyList<string> Split(string sql) => SqlPiece.Split(sql, Positions(sql));

    /// <summary>The pieces, without blanks.</summary>
    public static IReadOnlyList<SqlPiece> Pieces(string sql) => [.. Positions(sql).Select(pair => pair.Piece)];

    /// <summary>Tables that a statement names.</summary>
    public static IEnumerable<(string Project, string Dataset, string Table)> Tables(string sql) => SqlPiece.Paths(Pieces(sql));

    /// <summary>A statement in DuckDB's words.</summary>
    public static string Translate(string sql)
    {
        var pieces = Pieces(sql);
        var output = new StringBuilder();
        for (var at = 0; at < pieces.Count; at++)
        {
            var piece = pieces[at];

            // wide_number_mode=>'round' is what DuckDB does by itself, without rounding.
            if (piece.Text == "," && at + 3 < pieces.Count && pieces[at + 1].Text == "wide_number_mode")
            {
                at += 3;
                continue;
            }

            output.Append(piece switch
            {
                { Kind: 's' } => Literal(piece.Text),
                { Kind: 'q' } => $"\"{piece.Text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"",
                { Kind: 'w', Text: "CURRENT_TIMESTAMP" } => "now",
                { Kind: 'w' } when Types.TryGetValue(piece.Text, out var type) && !(at + 1 < pieces.Count && pieces[at + 1].Text == "(") => type,
                _ => piece.Text,
            });
            if (piece.Text != "." && !(at + 1 < pieces.Count && pieces[at + 1].Text is "." or "("))
            {
                output.Append(' ');
            }
        }

        return output.ToString();
    }

    // DuckDB's parser ends at a zero byte.
    private static string Literal(string text) => text.Contains('\0', StringComparison.Ordinal)
        ? "(" + string.Join(" || chr(0) || ", text.Split('\0').Select(Literal)) + ")"
        : $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

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
            else if (letter is '\'' or '`')
            {
                var text = new StringBuilder();

                // Without an end, or over an end of a line, it is no SQL.
                for (at++; sql[at] != letter; at++)
                {
                    Assert.That(sql[at], Is.Not.EqualTo('\n'), "a text in single quotes ends in its line");
                    if (sql[at] != '\\')
                    {
                        text.Append(sql[at]);
                        continue;
                    }

                    at++;
                    if (sql[at] == 'u')
                    {
                        text.Append((char)int.Parse(sql.AsSpan(at + 1, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                        at += 4;
                    }
                    else
                    {
                        Assert.That("\\'`\"".Contains(sql[at], StringComparison.Ordinal), Is.True, "an escape that GoogleSQL knows");
                        text.Append(sql[at]);
                    }
                }

                at++;
                yield return (start, new SqlPiece(letter == '\'' ? 's' : 'q', text.ToString()));
            }
            else if (char.IsLetterOrDigit(letter) || letter == '_')
            {
                while (at < sql.Length && (char.IsLetterOrDigit(sql[at]) || sql[at] == '_'))
                {
                    at++;
                }

                yield return (start, new SqlPiece('w', sql[start..at]));
            }
            else
            {
                at += at + 1 < sql.Length && sql.Substring(at, 2) is "<>" or "<=" or ">=" or "=>" or "||" ? 2 : 1;
                yield return (start, new SqlPiece('p', sql[start..at]));
            }
        }
    }
}

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A piece of SQL.</summary>
/// <param name="Kind">A letter: w word or number, s text, q name in quotes, p anything else.</param>
/// <param name="Text">As it stands there; of texts and names what they mean.</param>
internal sealed record SqlPiece(char Kind, string Text)
{
    /// <summary>Statements, cut at semicolons that stand in no text and no name.</summary>
    /// <param name="sql">All of it.</param>
    /// <param name="pieces">Its pieces, and where each begins.</param>
    public static IReadOnlyList<string> Split(string sql, IEnumerable<(int At, SqlPiece Piece)> pieces)
    {
        var statements = new List<string>();
        var from = 0;
        foreach (var (at, piece) in pieces)
        {
            if (piece is { Kind: 'p', Text: ";" })
            {
                statements.Add(sql[from..at].Trim());
                from = at + 1;
            }
        }

        statements.Add(sql[from..].Trim());
        return [.. statements.Where(statement => statement.Length > 0)];
    }

    /// <summary>Names of three parts in quotes, such as of tables.</summary>
    public static IEnumerable<(string First, string Second, string Third)> Paths(IReadOnlyList<SqlPiece> pieces)
    {
        for (var at = 0; at + 4 < pieces.Count; at++)
        {
            if (pieces[at].Kind == 'q' && pieces[at + 1].Text == "." && pieces[at + 2].Kind == 'q' && pieces[at + 3].Text == "." && pieces[at + 4].Kind == 'q')
            {
                yield return (pieces[at].Text, pieces[at + 2].Text, pieces[at + 4].Text);
                at += 4;
            }
        }
    }
}

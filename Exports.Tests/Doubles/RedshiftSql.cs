using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A statement that Redshift refuses.</summary>
internal sealed class RedshiftFailure(string sqlState, string message, string? detail = null) : Exception(message)
{
    public string SqlState { get; } = sqlState;

    public string? Detail { get; } = detail;

    public static RedshiftFailure Syntax(string near) => new("42601", $"syntax error at or near \"{near}\"");

    public static RedshiftFailure Unsupported(string what) => new("0A000", $"{what} not supported");
}

/// <summary>
/// What Redshift does not know of PostgreSQL's SQL is refused, with the page that says so, and what it has of its own is said as PostgreSQL has it.
/// </summary>
internal static partial class RedshiftSql
{
    // https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_commands.html
    private const int LongestStatement = 16 * 1024 * 1024;

    private static readonly (Regex Pattern, string What)[] Refused =
    [
        // https://docs.aws.amazon.com/redshift/latest/dg/r_INSERT_30.html
        (Word(@"ON\s+CONFLICT"), "ON CONFLICT"),
        (Word("RETURNING"), "RETURNING"),

        // https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
        (Word(@"CREATE\s+(UNIQUE\s+)?INDEX"), "CREATE INDEX"),
        (Word(@"(CREATE\s+SEQUENCE|NEXTVAL|SERIAL|BIGSERIAL)"), "Sequences"),
        (Word(@"NULLS\s+(FIRST|LAST)\s*\)"), "NULLS in window functions"),
        (Word(@"PARTITION\s+OF|INHERITS|PARTITION\s+BY\s+(RANGE|LIST|HASH)\b"), "Table partitioning"),
        (Word("ARRAY(?=\\s*\\[)"), "Array constructors"),
        (Word("CTID|XMIN|TABLEOID"), "System columns"),
        (Word(@"DISTINCT\s+ON"), "SELECT DISTINCT ON"),
        (Word("CHECK(?=\\s*\\()"), "CHECK constraints"),

        // https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-datatypes.html
        (Word("JSONB?|UUID|BYTEA|INET|CIDR|MACADDR|XML|HSTORE|TSVECTOR|MONEY"), "This data type"),
        (new Regex(@"\w\s*\[\s*\]"), "Arrays"),

        // https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-functions.html
        (Word("PG_ADVISORY_\\w+|HASHTEXTEXTENDED|CLOCK_TIMESTAMP|STATEMENT_TIMESTAMP|FORMAT_TYPE(?=\\s*\\()|UNNEST|STRING_AGG|ARRAY_AGG|TO_REGCLASS"), "This function"),

        // https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html, r_LOCK.html, r_BEGIN.html and others say what there is.
        (Word(@"ADD\s+COLUMN\s+IF"), "ADD COLUMN IF NOT EXISTS"),
        (Word(@"FOR\s+(UPDATE|SHARE|KEY\s+SHARE|NO\s+KEY)"), "SELECT FOR UPDATE"),
        (Word("LISTEN|UNLISTEN|NOTIFY|DISCARD|DO|VACUUM(?=\\s*\\()|COMMENT\\s+ON\\s+COLUMN\\s+IF"), "This statement"),
        (Word(@"ON\s+COMMIT"), "ON COMMIT"),
        (Word(@"FROM\s+STDIN|TO\s+STDOUT"), "COPY from the client"),
        (Word(@"MERGE"), "MERGE by the exporter, which the double does not have; MERGE"),
    ];

    /// <summary>The statement as PostgreSQL takes it.</summary>
    /// <exception cref="RedshiftFailure">Redshift refuses it.</exception>
    public static async Task<string> TranslateAsync(string sql, long lastCopied, Func<string, Task> makeDomain)
    {
        if (Encoding.UTF8.GetByteCount(sql) > LongestStatement)
        {
            throw new RedshiftFailure("54000", "Statement is too large. Statement Size: more than 16777216 bytes. Maximum Allowed: 16777216 bytes");
        }

        var pieces = Pieces().Matches(sql).Select(match => match.Value).ToList();
        var bare = string.Concat(pieces.Select(piece => piece[0] is '\'' or '"' ? new string('?', 1) : piece));
        Assert.That(pieces.Where(piece => piece[0] == '\'' && piece.Contains('\\', StringComparison.Ordinal)), Is.Empty, $"a backslash in a text means different things to different servers: {sql}");
        foreach (var (pattern, what) in Refused)
        {
            if (pattern.IsMatch(bare))
            {
                throw RedshiftFailure.Unsupported(what);
            }
        }

        // https://docs.aws.amazon.com/redshift/latest/dg/r_names.html
        if (pieces.Find(piece => piece[0] == '"' && Encoding.UTF8.GetByteCount(piece) - 2 > 127) is { } longName)
        {
            throw new RedshiftFailure("42622", $"identifier {longName} is longer than 127 bytes");
        }

        var isDefinition = Definition().IsMatch(bare);
        var said = new StringBuilder();
        for (var at = 0; at < pieces.Count; at++)
        {
            said.Append(pieces[at][0] switch
            {
                '"' => Folded(pieces[at]),
                '\'' => pieces[at],
                _ => isDefinition ? await TypesAsync(pieces[at], makeDomain) : pieces[at],
            });
        }

        var text = LastCopied().Replace(said.ToString(), lastCopied.ToString(CultureInfo.InvariantCulture) + "::bigint");
        text = Version().Replace(text, "'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.74997'::varchar");

        // Both of Redshift's isolation levels take their snapshot where PostgreSQL's serializable one does: https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html
        return Begin().IsMatch(text) ? "BEGIN ISOLATION LEVEL SERIALIZABLE" : text;
    }

    /// <summary>A piece of SQL without the quotes around it.</summary>
    public static string Bare(string piece) => piece.Length > 1 && piece[0] is '"' or '\'' ? piece[1..^1].Replace(new string(piece[0], 2), piece[0].ToString(), StringComparison.Ordinal) : piece;

    /// <summary>A name with lower letters, as Redshift keeps it.</summary>
    private static string Folded(string piece) => string.Concat(piece.Select(letter => char.IsAsciiLetterUpper(letter) ? char.ToLowerInvariant(letter) : letter));

    // Lengths count bytes, and a text without one has 256 of them: https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
    private static async Task<string> TypesAsync(string text, Func<string, Task> makeDomain)
    {
        text = Regex.Replace(text, @"\bSUPER\b", "jsonb", RegexOptions.IgnoreCase);
        text = Regex.Replace(text, @"\bTEXT\b", "VARCHAR(256)", RegexOptions.IgnoreCase);
        foreach (Match match in Lengths().Matches(text))
        {
            var name = match.Groups["name"].Value.ToLowerInvariant();
            var length = int.Parse(match.Groups["length"].Value, CultureInfo.InvariantCulture);
            if (length < 1 || length > (name == "varchar" ? 65_535 : 16_777_216))
            {
                throw new RedshiftFailure("22023", $"length for type {name} cannot exceed {(name == "varchar" ? 65_535 : 16_777_216)}");
            }

            await makeDomain(string.Create(CultureInfo.InvariantCulture, $"{name}_{length}"));
        }

        // https://docs.aws.amazon.com/redshift/latest/dg/r_Numeric_types201.html
        foreach (Match match in Decimals().Matches(text))
        {
            if (int.Parse(match.Groups["precision"].Value, CultureInfo.InvariantCulture) > 38 || int.Parse(match.Groups["scale"].Value, CultureInfo.InvariantCulture) > 37)
            {
                throw new RedshiftFailure("22023", $"{match.Value} precision must be between 1 and 38, scale between 0 and 37");
            }
        }

        return Lengths().Replace(text, match => string.Create(CultureInfo.InvariantCulture, $"redshift.{match.Groups["name"].Value.ToLowerInvariant()}_{match.Groups["length"].Value}"));
    }

    private static Regex Word(string pattern) => new($@"\b(?:{pattern})(?!\w)", RegexOptions.IgnoreCase);

    [GeneratedRegex("""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^'"]+""")]
    private static partial Regex Pieces();

    [GeneratedRegex(@"^\s*(CREATE\s+(TEMP(ORARY)?\s+)?TABLE(?!.*\bAS\s+SELECT\b)|ALTER\s+TABLE)\b", RegexOptions.IgnoreCase | RegexOptions.Singleline)]
    private static partial Regex Definition();

    [GeneratedRegex(@"\b(?<name>VARCHAR|VARBYTE)\s*\(\s*(?<length>\d+)\s*\)", RegexOptions.IgnoreCase)]
    private static partial Regex Lengths();

    [GeneratedRegex(@"\bDECIMAL\s*\(\s*(?<precision>\d+)\s*,\s*(?<scale>\d+)\s*\)", RegexOptions.IgnoreCase)]
    private static partial Regex Decimals();

    [GeneratedRegex(@"\bPG_LAST_COPY_COUNT\(\)", RegexOptions.IgnoreCase)]
    private static partial Regex LastCopied();

    [GeneratedRegex(@"\bVERSION\(\)", RegexOptions.IgnoreCase)]
    private static partial Regex Version();

    [GeneratedRegex(@"^\s*BEGIN\s*;?\s*$", RegexOptions.IgnoreCase)]
    private static partial Regex Begin();
}

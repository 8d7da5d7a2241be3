using System.Globalization;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>
/// A condition on a property inside a column that holds a JSON object, as text or as ClickHouse's type JSON; or, without
/// <see cref="Path"/>, on a column itself.
/// </summary>
public sealed record PropertyCondition
{
    /// <summary>The column.</summary>
    public required string Column { get; init; }

    /// <summary>The names that lead to the property, one for each level. Default none: the column itself.</summary>
    public IReadOnlyList<string> Path { get; init; } = [];

    /// <summary>What must be true of it.</summary>
    public required PropertyOperator Operator { get; init; }

    /// <summary>
    /// What it is compared with, as text: of several, one must fit (for the operators that begin with "not", none). None for set and
    /// not_set, exactly one for the comparisons, which take a number or a time in ISO 8601.
    /// </summary>
    public IReadOnlyList<string> Values { get; init; } = [];

    /// <summary>Whether it is one of greater, greater_or_equal, less and less_or_equal.</summary>
    internal bool Compares => Operator is
        PropertyOperator.Greater or PropertyOperator.GreaterOrEqual or PropertyOperator.Less or PropertyOperator.LessOrEqual;

    /// <summary>Throws when operator and values do not fit together.</summary>
    /// <exception cref="UserErrorException">They do not; the setting is "where".</exception>
    public PropertyCondition Validate()
    {
        var word = ExportJson.Word(Operator);
        var count = Values?.Count ?? 0;
        if (string.IsNullOrEmpty(Column) || Path is null || Values is null || Values.Any(value => value is null) || Path.Any(name => name is null))
        {
            throw new UserErrorException("where", $"A condition \"{word}\" lacks its column or has a null in it.", "Give column, path, operator and values.");
        }

        var valueless = Operator is PropertyOperator.Set or PropertyOperator.NotSet;
        if (valueless ? count > 0 : count == 0)
        {
            throw new UserErrorException(
                "where", $"The condition \"{this}\" has {(valueless ? "a value" : "no value")}.", valueless ? $"Take it out: {word} has none." : $"Write what it is compared with after {word}.");
        }

        if (Compares && (count > 1 || (!TryNumber(Values[0], out _) && !TryTime(Values[0], out _))))
        {
            throw new UserErrorException(
                "where", $"The condition \"{this}\" does not compare with one number or time.", "Write one number, or one time such as 2026-01-31T12:00:00Z.");
        }

        return this;
    }

    /// <summary>As it is written on the command line.</summary>
    public override string ToString() => string.Join(
        ' ',
        new[] { string.Join('.', Path.Prepend(Column)), ExportJson.Word(Operator), string.Join(", ", Values) }.Where(part => part.Length > 0));

    internal static bool TryNumber(string text, out double number) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && double.IsFinite(number);

    internal static bool TryTime(string text, out DateTimeOffset time) => DateTimeOffset.TryParseExact(
        text,
        ["yyyy-MM-dd", "yyyy-MM-ddTHH:mm:ssK", "yyyy-MM-ddTHH:mm:ss.FFFFFFFK", "yyyy-MM-dd HH:mm:ssK", "yyyy-MM-dd HH:mm:ss.FFFFFFFK"],
        CultureInfo.InvariantCulture,
        DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
        out time);
}

/// <summary>
/// What must be true of a property. Its text is the string itself, or the JSON of anything else; a property that is missing or
/// null has no text, so only not_set and the operators that begin with "not" are true of it.
/// </summary>
public enum PropertyOperator
{
    /// <summary>Its text is one of the values.</summary>
    Equals,

    /// <summary>Its text is none of the values.</summary>
    NotEquals,

    /// <summary>The same as equals, for lists.</summary>
    In,

    /// <summary>The same as not_equals, for lists.</summary>
    NotIn,

    /// <summary>One of the values is a part of its text; capitals do not matter.</summary>
    Contains,

    /// <summary>None of the values is a part of its text; capitals do not matter.</summary>
    NotContains,

    /// <summary>One of the regular expressions (re2) fits a part of its text.</summary>
    Regex,

    /// <summary>None of the regular expressions (re2) fits a part of its text.</summary>
    NotRegex,

    /// <summary>It is there and not null.</summary>
    Set,

    /// <summary>It is missing, or null.</summary>
    NotSet,

    /// <summary>It is a number greater than the value, or a time after it.</summary>
    Greater,

    /// <summary>The same, or equal.</summary>
    GreaterOrEqual,

    /// <summary>It is a number less than the value, or a time before it.</summary>
    Less,

    /// <summary>The same, or equal.</summary>
    LessOrEqual,
}

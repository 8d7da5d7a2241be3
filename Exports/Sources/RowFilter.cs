using System.Globalization;
using Exporter.Exports.Model;

namespace Exporter.Exports.Sources;

/// <summary>
/// The conditions of a model as SQL, joined by AND; values are bound under names of their own, never written into the text. Pure.
/// </summary>
internal sealed class RowFilter
{
    private readonly List<string> _conditions = [];
    private readonly Dictionary<string, string> _parameters = [];

    private RowFilter()
    {
    }

    /// <summary>The conditions, each of which can stand beside AND.</summary>
    public IReadOnlyList<string> Conditions => _conditions;

    /// <summary>What is bound in them.</summary>
    public IReadOnlyDictionary<string, string> Parameters => _parameters;

    /// <summary>All that a model says of the rows it wants, before dedup.</summary>
    public static RowFilter Of(SourceModel model)
    {
        var filter = new RowFilter();
        for (var i = 0; i < model.Include.Count; i++)
        {
            filter._conditions.Add($"{QueryBuilder.Quote(model.Include[i].Column)} IN {filter.Bind($"include_{i}", model.Include[i].Values)}");
        }

        for (var i = 0; i < model.Exclude.Count; i++)
        {
            filter._conditions.Add($"ifNull({QueryBuilder.Quote(model.Exclude[i].Column)} NOT IN {filter.Bind($"exclude_{i}", model.Exclude[i].Values)}, 1)");
        }

        for (var i = 0; i < model.Where.Count; i++)
        {
            filter._conditions.Add(filter.Condition($"where_{i}", model.Where[i]));
        }

        if (model.Filter is { } predicate)
        {
            filter._conditions.Add($"({SqlFragment.Check("filter", predicate)})");
        }

        return filter;
    }

    /// <summary>One condition alone.</summary>
    public static RowFilter Of(PropertyCondition condition)
    {
        var filter = new RowFilter();
        filter._conditions.Add(filter.Condition("where_0", condition));
        return filter;
    }

    private string Condition(string name, PropertyCondition condition)
    {
        var column = QueryBuilder.Quote(condition.Column);
        // The text of a column of type JSON is its JSON; that of a String is itself.
        var path = string.Concat(condition.Path.Select((step, i) => $", {Bind($"{name}_path_{i}", step)}"));
        var isSet = path.Length == 0 ? $"{column} IS NOT NULL" : $"ifNull(JSONType(toString({column}){path}) != 'Null', 0)";
        var text = path.Length == 0
            ? $"toString({column})"
            : $"if(JSONType(toString({column}){path}) = 'String', JSONExtractString(toString({column}){path}), JSONExtractRaw(toString({column}){path}))";
        var holds = condition.Operator switch
        {
            PropertyOperator.Set => isSet,
            PropertyOperator.NotSet => $"NOT ({isSet})",
            PropertyOperator.Equals or PropertyOperator.In => $"{isSet} AND {text} IN {Bind(name, condition.Values)}",
            PropertyOperator.NotEquals or PropertyOperator.NotIn => $"NOT ({isSet} AND {text} IN {Bind(name, condition.Values)})",
            PropertyOperator.Contains => $"{isSet} AND ({Any(condition, name, value => $"positionCaseInsensitiveUTF8({text}, {value}) > 0")})",
            PropertyOperator.NotContains => $"NOT ({isSet} AND ({Any(condition, name, value => $"positionCaseInsensitiveUTF8({text}, {value}) > 0")}))",
            PropertyOperator.Regex => $"{isSet} AND ({Any(condition, name, value => $"match({text}, {value})")})",
            PropertyOperator.NotRegex => $"NOT ({isSet} AND ({Any(condition, name, value => $"match({text}, {value})")}))",
            _ => Comparison(condition, name, text),
        };
        return $"ifNull({holds}, 0)";
    }

    private string Comparison(PropertyCondition condition, string name, string text)
    {
        var sign = condition.Operator switch
        {
            PropertyOperator.Greater => ">",
            PropertyOperator.GreaterOrEqual => ">=",
            PropertyOperator.Less => "<",
            PropertyOperator.LessOrEqual => "<=",
            _ => throw new ArgumentOutOfRangeException(nameof(condition), condition.Operator, "No comparison."),
        };
        if (PropertyCondition.TryNumber(condition.Values[0], out var number))
        {
            _parameters[name] = number.ToString("R", CultureInfo.InvariantCulture);
            var inexact = $"toFloat64OrNull({text}) {sign} {{{name}:Float64}}";
            if (!Int128.TryParse(condition.Values[0], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
            {
                return inexact;
            }

            // A double has 53 bits, and a key or a time in nanoseconds more.
            _parameters[name + "_whole"] = whole.ToString(CultureInfo.InvariantCulture);
            return $"ifNull(toInt128OrNull({text}) {sign} {{{name}_whole:Int128}}, {inexact})";
        }

        _parameters[name] = PropertyCondition.TryTime(condition.Values[0], out var time)
            ? SourceQuery.Instant(time)
            : throw new ArgumentException("Neither a number nor a time.", nameof(condition));
        return $"parseDateTime64BestEffortOrNull({text}, 9, 'UTC') {sign} {{{name}:DateTime64(9, 'UTC')}}";
    }

    private string Any(PropertyCondition condition, string name, Func<string, string> one) =>
        string.Join(" OR ", condition.Values.Select((value, i) => one(Bind($"{name}_{i}", value))));

    private string Bind(string name, string value)
    {
        _parameters[name] = SourceQuery.Text(value);
        return $"{{{name}:String}}";
    }

    // ClickHouse reads a list of texts as values of the column's type, whatever that is.
    private string Bind(string name, IReadOnlyList<string> values)
    {
        _parameters[name] = SourceQuery.Texts(values);
        return $"{{{name}:Array(String)}}";
    }
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Sources;

/// <summary>Asks ClickHouse what a model means, setting by setting, so that what is wrong is said of the setting that is.</summary>
internal static class ModelDescriber
{
    /// <summary>The model's columns with their types.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ask">Asks ClickHouse.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    /// <exception cref="UserErrorException">Something of the model is not there, or of a wrong type; names the setting.</exception>
    public static async Task<IReadOnlyList<DescribedColumn>> DescribeAsync(
        SourceModel model, Func<SourceQuery, CancellationToken, Task<List<string[]>>> ask, CancellationToken cancellationToken)
    {
        var table = await AskAsync(model.Query is null ? "table" : "query", QueryBuilder.DescribeTable(model)).ConfigureAwait(false);
        if (table.GroupBy(column => column.Name, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException("query", $"Two columns of the query are named \"{twice.Key}\".", "Give each column a name of its own by AS.");
        }

        var cursor = await TypeAsync("cursor_column", model.CursorColumn).ConfigureAwait(false);
        if (!Bare(cursor).StartsWith("Date", StringComparison.Ordinal))
        {
            throw new UserErrorException(
                "cursor_column",
                $"The column {model.CursorColumn} is of type {cursor}.",
                "Name a column of type Date, DateTime or DateTime64 that is not Nullable.");
        }

        if (model.KeyColumns.Count > 0)
        {
            await AskAsync("key", QueryBuilder.DescribeExpressions(model, "key", model.KeyColumns.Select(QueryBuilder.Quote))).ConfigureAwait(false);
        }

        await DescribeDeletionAsync(
            model, model.VersionColumn is { } version ? await TypeAsync("version", version).ConfigureAwait(false) : null, TypeAsync).ConfigureAwait(false);
        await DescribeConditionsAsync(model, AskAsync).ConfigureAwait(false);
        if (model.Columns.Count == 0)
        {
            return [.. table.Select(column => new DescribedColumn(QueryBuilder.Quote(column.Name), column.Name, column.Type))];
        }

        var types = await AskAsync(
            "columns", QueryBuilder.DescribeExpressions(model, "columns", model.Columns.Select(column => column.Expression))).ConfigureAwait(false);
        return [.. model.Columns.Zip(types, (column, described) => new DescribedColumn(column.Expression, column.Alias, described.Type))];

        async Task<string> TypeAsync(string setting, string column) =>
            (await AskAsync(setting, QueryBuilder.DescribeExpressions(model, setting, [QueryBuilder.Quote(column)])).ConfigureAwait(false))[0].Type;

        async Task<List<(string Name, string Type)>> AskAsync(string setting, SourceQuery query)
        {
            try
            {
                return [.. (await ask(query, cancellationToken).ConfigureAwait(false)).Select(row => (row[0], row.Length > 1 ? row[1] : ""))];
            }
            catch (SourceException error) when (SourceErrors.IsOfModel(error.Code))
            {
                throw new UserErrorException(setting, $"ClickHouse does not understand \"{setting}\": {error.Text}", "Compare it with the table.", error);
            }
        }
    }

    // An aggregate's state that is its value is as good as the value.
    private static string Bare(string type) => type.StartsWith("SimpleAggregateFunction(", StringComparison.Ordinal)
        ? type[(type.IndexOf(", ", StringComparison.Ordinal) + 2)..^1]
        : type;

    private static async Task DescribeDeletionAsync(SourceModel model, string? versionType, Func<string, string, Task<string>> typeOf)
    {
        if (model.DeletedColumn is not { } deleted)
        {
            return;
        }

        var type = await typeOf("deleted_column", deleted).ConfigureAwait(false);
        var bare = Bare(type);
        bare = bare.StartsWith("Nullable(", StringComparison.Ordinal) ? bare[9..^1] : bare;
        if (bare is not "Bool" && !bare.StartsWith("Int", StringComparison.Ordinal) && !bare.StartsWith("UInt", StringComparison.Ordinal))
        {
            throw new UserErrorException("deleted_column", $"The column {deleted} is of type {type}.", "Name a column of type Bool or of whole numbers.");
        }

        if (versionType is not null && Bare(versionType).StartsWith("Nullable(", StringComparison.Ordinal))
        {
            throw new UserErrorException(
                "version", $"The column {model.VersionColumn} is of type {versionType}: which row of a key is the newest cannot be told.", "Name a version column that is not Nullable.");
        }
    }

    // Each setting alone, so that an error is told of the one that has it.
    private static async Task DescribeConditionsAsync(SourceModel model, Func<string, SourceQuery, Task<List<(string Name, string Type)>>> ask)
    {
        var bare = model with { Include = [], Exclude = [], Where = [], Filter = null };
        foreach (var (setting, part) in ((string, SourceModel)[])
        [
            ("include", bare with { Include = model.Include }),
            ("exclude", bare with { Exclude = model.Exclude }),
            ("where", bare with { Where = model.Where }),
            ("filter", bare with { Filter = model.Filter }),
        ])
        {
            if (RowFilter.Of(part).Conditions.Count > 0)
            {
                await ask(setting, QueryBuilder.DescribeFilter(part)).ConfigureAwait(false);
            }
        }

        foreach (var pattern in model.Where.Where(one => one.Operator is PropertyOperator.Regex or PropertyOperator.NotRegex).SelectMany(one => one.Values))
        {
            await ask("where", QueryBuilder.TryRegex(pattern)).ConfigureAwait(false);
        }
    }
}

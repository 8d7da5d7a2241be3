using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Model;

/// <summary>What must be true of a model whatever the source and the destination are.</summary>
internal static class ModelCheck
{
    public static void Range(string setting, long value, long least, long most)
    {
        if (value < least || value > most)
        {
            throw new UserErrorException(
                setting,
                string.Create(CultureInfo.InvariantCulture, $"{setting} is {value}."),
                string.Create(CultureInfo.InvariantCulture, $"Give a value from {least:N0} to {most:N0}."));
        }
    }

    public static void Range(string setting, TimeSpan value, TimeSpan least, TimeSpan most)
    {
        if (value < least || value > most || value.Ticks % TimeSpan.TicksPerSecond != 0)
        {
            throw new UserErrorException(
                setting, $"{setting} is {value}.", $"Give a value from {Duration.Format(least)} to {Duration.Format(most)}.");
        }
    }

    /// <summary>Refuses an edit of something that somebody has changed since it was read.</summary>
    public static void Unchanged(string name, DateTimeOffset updatedAt, DateTimeOffset? read)
    {
        if (read is not null && read != updatedAt)
        {
            throw new UserErrorException(
                "updated_at", $"Somebody has changed {name} at {updatedAt:yyyy-MM-ddTHH:mm:ssZ}, after it was read.", "Read it again, and make the change anew.", reason: UserErrorReason.Changed);
        }
    }

    public static void Model(SourceModel model)
    {
        if ((model.Table is null) == (model.Query is null))
        {
            throw new UserErrorException("table", "A model is of either a table or a query.", "Give one of --table, --query, --query-file and --preset.");
        }

        NotEmpty("table", model.Table ?? "query");
        NotEmpty("cursor_column", model.CursorColumn);
        Columns(model);
        Keys(model);
        Conditions(model);
        if (model.Query is { } query)
        {
            SqlFragment.CheckQuery("query", query);
            if (model.Dedup == Dedup.Final)
            {
                throw new UserErrorException("dedup", "dedup is final, which a query cannot have.", "Write FINAL after the table inside the query, and leave dedup out.");
            }
        }
    }

    private static void Columns(SourceModel model)
    {
        foreach (var column in model.Columns)
        {
            SqlFragment.Check("columns", column.Expression);
            NotEmpty("columns", column.Alias);
        }

        if (model.Columns.GroupBy(column => column.Alias, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException("columns", $"Two columns are named \"{twice.Key}\".", "Give each column an alias of its own.");
        }
    }

    private static void Keys(SourceModel model)
    {
        foreach (var key in model.KeyColumns)
        {
            NotEmpty("key", key);
        }

        if (model.Dedup is Dedup.DistinctOn or Dedup.LimitBy && model.KeyColumns.Count == 0)
        {
            throw new UserErrorException(
                "key", $"dedup is {ExportJson.Word(model.Dedup)}, but no key says which rows are one.", "Name the columns that together identify a row.");
        }

        if (model.DeletedColumn is null)
        {
            return;
        }

        NotEmpty("deleted_column", model.DeletedColumn);
        if (model.Deleted == DeletedRows.LeaveOut && (model.Dedup == Dedup.DistinctOn || model is { Dedup: Dedup.LimitBy, VersionColumn: null }))
        {
            throw new UserErrorException(
                "deleted_column",
                $"dedup {ExportJson.Word(model.Dedup)} takes any row of a key, so nothing says whether the newest one is deleted.",
                "Use dedup limit_by with a version column, or final.");
        }
    }

    private static void Conditions(SourceModel model)
    {
        foreach (var (setting, list) in ((string, IReadOnlyList<ColumnValues>)[])[("include", model.Include), ("exclude", model.Exclude)])
        {
            foreach (var one in list)
            {
                NotEmpty(setting, one.Column);
                if (one.Values is null || one.Values.Count == 0 || one.Values.Any(value => value is null))
                {
                    throw new UserErrorException(setting, $"{setting} has no values of {one.Column}, or a null.", "Give values as text; for NULL write a filter.");
                }
            }
        }

        foreach (var condition in model.Where)
        {
            condition.Validate();
        }

        if (model.Filter is not null)
        {
            SqlFragment.Check("filter", model.Filter);
        }
    }

    private static void NotEmpty(string setting, string value)
    {
        if (string.IsNullOrWhiteSpace(value))
        {
            throw new UserErrorException(setting, $"{setting} is empty.", "Give it a value, or leave it out.");
        }
    }
}

using System.Globalization;
using Exporter.Exports.Destinations;

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

    public static void Model(SourceModel model)
    {
        NotEmpty("table", model.Table);
        NotEmpty("cursor_column", model.CursorColumn);
        foreach (var column in model.Columns)
        {
            NotEmpty("columns", column.Expression);
            NotEmpty("columns", column.Alias);
        }

        if (model.Columns.GroupBy(column => column.Alias, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException("columns", $"Two columns are named \"{twice.Key}\".", "Give each column an alias of its own.");
        }

        if (model.Dedup is Dedup.DistinctOn or Dedup.LimitBy && model.KeyColumns.Count == 0)
        {
            throw new UserErrorException(
                "key", $"dedup is {ExportJson.Word(model.Dedup)}, but no key says which rows are one.", "Name the columns that together identify a row.");
        }

        if (model.Filter is not null)
        {
            NotEmpty("filter", model.Filter);
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

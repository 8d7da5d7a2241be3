namespace Exporter.Exports.Destinations;

/// <summary>What destinations of tables have in common of the settings mode, key, version and delete_column.</summary>
internal static class MergeMode
{
    private const string ModeSetting = "mode";
    private const string KeySetting = "key";

    /// <summary>Throws when they do not go together, naming the setting.</summary>
    /// <param name="mode">append or merge.</param>
    /// <param name="key">Columns, separated by commas.</param>
    /// <param name="version">A column.</param>
    /// <param name="deleteColumn">A column.</param>
    /// <returns>The columns of the key in their order; none to append.</returns>
    /// <exception cref="UserErrorException">They do not.</exception>
    public static IReadOnlyList<string> Check(string mode, string key, string? version, string? deleteColumn)
    {
        if (mode is not ("append" or "merge"))
        {
            throw new UserErrorException(ModeSetting, $"There is no mode \"{mode}\".", "Use append or merge.");
        }

        if (mode == "append")
        {
            foreach (var (setting, value) in new[] { (KeySetting, key), ("version", version), ("delete_column", deleteColumn) })
            {
                if (!string.IsNullOrEmpty(value))
                {
                    throw new UserErrorException(setting, $"{setting} is only for mode merge.", "Set mode to merge, or leave it out.");
                }
            }

            return [];
        }

        var columns = key.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return columns.Length > 0
            ? columns
            : throw new UserErrorException(KeySetting, "Mode merge has no key.", "Name the columns that together identify a row, separated by commas.");
    }

    /// <summary>Throws when a key names a column twice.</summary>
    /// <param name="columns">As the table has them.</param>
    /// <param name="names">How names are compared there.</param>
    /// <exception cref="UserErrorException">It does.</exception>
    public static void CheckKey(IReadOnlyList<string> columns, StringComparer names)
    {
        if (columns.Distinct(names).Count() < columns.Count)
        {
            throw new UserErrorException(KeySetting, "The key names a column twice.", "Name each column once.");
        }
    }
}

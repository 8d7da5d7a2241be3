namespace Exporter.Engine.Storage;

/// <summary>The workflows that a worker offers, as its statements take them.</summary>
internal sealed record WorkflowOffer
{
    public WorkflowOffer(IEnumerable<(string Name, int Version)> workflows)
    {
        var all = workflows.ToArray();
        var newest = all.GroupBy(each => each.Name).Select(group => (group.Key, group.Max(each => each.Version))).ToArray();
        AllNames = Array.ConvertAll(all, each => each.Name);
        AllVersions = Array.ConvertAll(all, each => each.Version);
        Names = Array.ConvertAll(newest, each => each.Key);
        Newest = Array.ConvertAll(newest, each => each.Item2);
        Codes = [.. Names, .. all.Select(each => $"{each.Name}@{each.Version}")];
    }

    public string[] AllNames { get; }

    public int[] AllVersions { get; }

    /// <summary>Each name once.</summary>
    public string[] Names { get; }

    /// <summary>The newest version of each name.</summary>
    public int[] Newest { get; }

    /// <summary>What runs are matched with: a name for those that have not begun, name@version for others.</summary>
    public string[] Codes { get; }
}

namespace Exporter.Exports.Destinations.Files;

/// <summary>Where files go.</summary>
internal sealed record FilesOptions
{
    public const string RootSetting = "root";
    public const string PrefixSetting = "prefix";
    public const string MountedSetting = "mounted";

    public static DestinationKind Kind { get; } = new()
    {
        Name = "files",
        Description = "Files in a folder of this machine, or of one that is mounted.",
        Settings =
        [
            new(RootSetting, SettingType.Text, "The folder, as an absolute path; it must be there.") { Required = true, Place = true },
            new(PrefixSetting, SettingType.Text, $"Folders below the root, separated by slashes, with places such as {{year}}: {SliceKeys.Places}. Default none.") { Place = true },
            new(MountedSetting, SettingType.Boolean, "Whether the root must lie in a mounted file system, so that nothing is written while that is not there. Default false."),
        ],
        Open = (destination, format) => new FilesDestination(DestinationOptions.Read<FilesOptions>(destination).Validate(), format),
    };

    /// <summary>The folder below which everything lies; absolute, and there already, so that a folder that is not mounted
    /// is noticed.</summary>
    public required string Root { get; init; }

    /// <summary>Folders below it. Default none.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>Whether the root must lie on another file system than the machine's own. Default false.</summary>
    public bool Mounted { get; init; }

    public FilesOptions Validate()
    {
        if (!Path.IsPathFullyQualified(Root) || Root.Contains('\0', StringComparison.Ordinal))
        {
            throw new UserErrorException(RootSetting, $"\"{Root}\" is no absolute path.", "Give the whole path of a folder, such as /var/lib/exports.");
        }

        return this;
    }
}

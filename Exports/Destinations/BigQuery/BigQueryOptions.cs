using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A table in BigQuery, and who writes it.</summary>
internal sealed partial record BigQueryOptions
{
    public const string ProjectSetting = "project";
    public const string DatasetSetting = "dataset";
    public const string TableSetting = "table";
    public const string LocationSetting = "location";
    public const string CredentialsSetting = "credentials";
    public const string EndpointSetting = "endpoint";
    public const string TokenUrlSetting = "token_url";
    public const string ModeSetting = "mode";
    public const string KeySetting = "key";
    public const string VersionSetting = "version";
    public const string DeleteSetting = "delete_column";
    public const string ProvenanceSetting = "provenance_column";
    public const string PartitionSetting = "partition_by";
    public const string PartitionUnitSetting = "partition_unit";
    public const string ClusterSetting = "cluster_by";
    public const string LabelsSetting = "labels";
    public const string ChunkSizeSetting = "chunk_size";
    public const string TimeoutSetting = "timeout";
    public const string StagingHoursSetting = "staging_hours";

    /// <summary>The column that says which commit brought a row.</summary>
    public const string DefaultProvenance = "_exporter_commit";

    /// <summary>The unit of a resumable upload: every chunk but the last is a multiple of it.</summary>
    public const int ChunkUnit = 256 * 1024;

    private const string ExportPlace = "{export}";
    private const string GoogleApi = "https://bigquery.googleapis.com";
    private const string GoogleToken = "https://oauth2.googleapis.com/token";

    public static DestinationKind Kind { get; } = new()
    {
        Name = "bigquery",
        Description = "Rows in a table in BigQuery, by load jobs.",
        Settings =
        [
            new(ProjectSetting, SettingType.Text, "The id of the project that has the dataset and pays for the jobs.") { Required = true, Place = true },
            new(DatasetSetting, SettingType.Text, "The dataset of the table, and of the exporter's own tables; it must be there.") { Required = true, Place = true },
            new(CredentialsSetting, SettingType.Text, "JSON: the key of a service account, or the configuration of a workload identity. Default what the machine has (Application Default Credentials).") { Secret = true, Asked = true },
            new(LocationSetting, SettingType.Text, "Where the dataset is, such as EU or europe-west3. Default as the dataset says."),
            new(TableSetting, SettingType.Text, "The table, made if it is missing; {export} stands for the export's name. Default {export}.") { Place = true },
            new(ModeSetting, SettingType.Text, "append: rows are added; merge: rows of one key become one. Default append.") { Place = true },
            new(KeySetting, SettingType.Text, "For merge: the export's columns that identify a row, separated by commas."),
            new(VersionSetting, SettingType.Text, "For merge: of rows with one key, the highest of this column stays. Default the row that came last."),
            new(DeleteSetting, SettingType.Text, "For merge: a row in which this column is true or not 0 is deleted. Default none."),
            new(ProvenanceSetting, SettingType.Text, "For append: a text column that says which commit brought a row, needed to export an interval again; empty for none. Default _exporter_commit.") { Place = true },
            new(PartitionSetting, SettingType.Text, "A column of instants or dates by which a new table is partitioned. Default none."),
            new(PartitionUnitSetting, SettingType.Text, "What a partition holds: hour, day, month or year. Default day."),
            new(ClusterSetting, SettingType.Text, "One to four columns by which a new table is clustered, separated by commas. Default none."),
            new(LabelsSetting, SettingType.Text, "Labels of new tables and of jobs, as key=value, separated by commas. Default none."),
            new(ChunkSizeSetting, SettingType.Number, "Bytes of a request of an upload: a multiple of 262144. Default 8388608; from 262144 to 104857600."),
            new(TimeoutSetting, SettingType.Number, "Seconds that a job may take. Default 3600; from 1 to 21600."),
            new(StagingHoursSetting, SettingType.Number, "Hours after which staging tables that killed attempts have left expire. Default 24; from 1 to 168."),
            new(EndpointSetting, SettingType.Text, "The URL of the API, for emulators and private access. Default https://bigquery.googleapis.com."),
            new(TokenUrlSetting, SettingType.Text, "Where a service account's key is exchanged for a token; what the key itself says is not used. Default https://oauth2.googleapis.com/token."),
        ],
        Open = (destination, format) => new BigQueryDestination(DestinationOptions.Read<BigQueryOptions>(destination).Validate(), format),
    };

    public required string Project { get; init; }

    public required string Dataset { get; init; }

    public string? Credentials { get; init; }

    public string? Location { get; init; }

    public string Table { get; init; } = ExportPlace;

    public string Mode { get; init; } = "append";

    public string Key { get; init; } = "";

    public string? Version { get; init; }

    public string? DeleteColumn { get; init; }

    public string ProvenanceColumn { get; init; } = DefaultProvenance;

    public string? PartitionBy { get; init; }

    public string PartitionUnit { get; init; } = "day";

    public string ClusterBy { get; init; } = "";

    public string Labels { get; init; } = "";

    public int ChunkSize { get; init; } = 8 * 1024 * 1024;

    public int Timeout { get; init; } = 3_600;

    public int StagingHours { get; init; } = 24;

    public string? Endpoint { get; init; }

    public string? TokenUrl { get; init; }

    [JsonIgnore]
    public bool IsMerge => Mode == "merge";

    [JsonIgnore]
    public IReadOnlyList<string> KeyColumns => BigQueryName.Split(Key);

    [JsonIgnore]
    public IReadOnlyList<string> ClusterColumns => BigQueryName.Split(ClusterBy);

    /// <summary>The labels, in their order.</summary>
    [JsonIgnore]
    public IReadOnlyList<KeyValuePair<string, string>> LabelPairs => [.. BigQueryName.Split(Labels).Select(label => KeyValuePair.Create(label[..label.IndexOf('=')], label[(label.IndexOf('=') + 1)..]))];

    /// <summary>The column that says which commit brought a row; null when there is none.</summary>
    [JsonIgnore]
    public string? Provenance => IsMerge || ProvenanceColumn.Length == 0 ? null : ProvenanceColumn;

    [JsonIgnore]
    public Uri Url => new((Endpoint ?? GoogleApi).TrimEnd('/') + "/");

    [JsonIgnore]
    public string Token => TokenUrl ?? GoogleToken;

    /// <summary>An emulator that lets everybody in: its address is given, and nothing that says who asks.</summary>
    [JsonIgnore]
    public bool IsAnonymous => Endpoint is not null && Credentials is null;

    /// <summary>The dataset, for messages.</summary>
    [JsonIgnore]
    public string Place => $"{Project}.{Dataset}";

    /// <summary>The table of an export.</summary>
    /// <exception cref="UserErrorException">BigQuery has no table of that name.</exception>
    public string TableOf(string export)
    {
        var name = Table.Replace(ExportPlace, export, StringComparison.Ordinal);
        return BigQueryName.IsTable(name) ? name : throw new UserErrorException(
            TableSetting, $"\"{name}\" cannot be the name of a table in BigQuery.", "Use letters, digits, dashes and underscores, 900 bytes at most.");
    }

    public BigQueryOptions Validate()
    {
        if (!ProjectId().IsMatch(Project))
        {
            throw new UserErrorException(ProjectSetting, $"\"{Project}\" is no id of a project.", "Give its id, such as my-project-123, not its name or number.");
        }

        if (!DatasetId().IsMatch(Dataset))
        {
            throw new UserErrorException(DatasetSetting, $"\"{Dataset}\" is no name of a dataset.", "Use letters, digits and underscores, without the project.");
        }

        if (!BigQueryName.IsTable(Table.Replace(ExportPlace, "x", StringComparison.Ordinal)))
        {
            throw new UserErrorException(TableSetting, $"\"{Table}\" cannot be the name of a table in BigQuery.", "Use letters, digits, dashes and underscores, 900 bytes at most.");
        }

        CheckUrl(EndpointSetting, Endpoint);
        CheckUrl(TokenUrlSetting, TokenUrl);
        ModelCheck.Range(ChunkSizeSetting, ChunkSize, ChunkUnit, 100 * 1024 * 1024);
        if (ChunkSize % ChunkUnit != 0)
        {
            throw new UserErrorException(ChunkSizeSetting, $"chunk_size is {ChunkSize}.", $"Give a multiple of {ChunkUnit}.");
        }

        ModelCheck.Range(TimeoutSetting, Timeout, 1, 21_600);
        ModelCheck.Range(StagingHoursSetting, StagingHours, 1, 168);
        if (Location is not null && !LocationId().IsMatch(Location))
        {
            throw new UserErrorException(LocationSetting, $"\"{Location}\" is no location.", "Give one such as EU, US or europe-west3.");
        }

        CheckTable();
        BigQueryCredentials.Check(this);
        return ValidateMode();
    }

    private static void CheckUrl(string setting, string? url)
    {
        if (url is not null && !(Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(setting, $"\"{url}\" is no URL.", "Begin it with https://.");
        }
    }

    private void CheckTable()
    {
        if (PartitionUnit is not ("hour" or "day" or "month" or "year"))
        {
            throw new UserErrorException(PartitionUnitSetting, $"\"{PartitionUnit}\" is no unit of partitions.", "Use hour, day, month or year.");
        }

        if (ClusterColumns.Count > 4)
        {
            throw new UserErrorException(ClusterSetting, $"cluster_by names {ClusterColumns.Count} columns.", "Name four at most.");
        }

        foreach (var label in BigQueryName.Split(Labels))
        {
            if (!Label().IsMatch(label))
            {
                throw new UserErrorException(
                    LabelsSetting, $"\"{label}\" is no label.", "Write key=value; both of lower-case letters, digits, dashes and underscores, 63 at most, the key beginning with a letter.");
            }
        }
    }

    private BigQueryOptions ValidateMode()
    {
        _ = MergeMode.Check(Mode, Key, Version, DeleteColumn);
        if (!IsMerge)
        {
            return ProvenanceColumn.Length == 0 || BigQueryName.ProblemOfColumn(ProvenanceColumn) is not { } problem
                ? this
                : throw new UserErrorException(ProvenanceSetting, $"\"{ProvenanceColumn}\" cannot be the name of a column in BigQuery: {problem}.", "Give it another name.");
        }

        MergeMode.CheckKey(KeyColumns, StringComparer.OrdinalIgnoreCase);
        return this with
        {
            Version = string.IsNullOrEmpty(Version) ? null : Version,
            DeleteColumn = string.IsNullOrEmpty(DeleteColumn) ? null : DeleteColumn,
        };
    }

    // https://cloud.google.com/resource-manager/docs/creating-managing-projects; old ids begin with a domain and a colon.
    [GeneratedRegex(@"^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    private static partial Regex ProjectId();

    // https://cloud.google.com/bigquery/docs/datasets#dataset-naming
    [GeneratedRegex("^[A-Za-z0-9_]{1,1024}$")]
    private static partial Regex DatasetId();

    [GeneratedRegex("^[A-Za-z][A-Za-z0-9-]{1,40}$")]
    private static partial Regex LocationId();

    // https://cloud.google.com/bigquery/docs/labels-intro#requirements
    [GeneratedRegex(@"^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}=[\p{Ll}\p{Lo}\p{N}_-]{0,63}$")]
    private static partial Regex Label();
}

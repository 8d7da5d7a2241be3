namespace Exporter.Exports.Sources;

/// <summary>
/// ClickHouse's functions that read from elsewhere than its own tables (another server, a file, a program), or that take SQL as a
/// text, which nobody has looked at. Those of its cluster are not among them: an administrator named its servers.
/// </summary>
internal static class ReachingFunctions
{
    private static readonly HashSet<string> Names = new(StringComparer.OrdinalIgnoreCase)
    {
        // Files and programs.
        "file", "fileCluster", "filesystem", "executable", "catboostEvaluate", "deltaLakeLocal", "icebergLocal", "icebergLocalCluster", "paimonLocal",
        "sqlite", "input",

        // Object storage and lakes.
        "s3", "s3Cluster", "gcs", "oss", "cosn", "hdfs", "hdfsCluster", "azureBlobStorage", "azureBlobStorageCluster", "deltaLake", "deltaLakeAzure",
        "deltaLakeAzureCluster", "deltaLakeCluster", "deltaLakeS3", "deltaLakeS3Cluster", "hudi", "hudiCluster", "iceberg", "icebergAzure",
        "icebergAzureCluster", "icebergCluster", "icebergHDFS", "icebergHDFSCluster", "icebergS3", "icebergS3Cluster", "paimon", "paimonAzure",
        "paimonAzureCluster", "paimonCluster", "paimonHDFS", "paimonHDFSCluster", "paimonS3", "paimonS3Cluster",

        // Other servers.
        "url", "urlCluster", "remote", "remoteSecure", "mysql", "postgresql", "mongodb", "redis", "odbc", "jdbc", "hive", "ytsaurus", "arrowFlight",
        "arrowflight", "kafka", "nats", "rabbitmq",

        // A provider of language models.
        "aiClassify", "aiEmbed", "aiExtract", "aiGenerate", "aiTranslate",

        // SQL in a text.
        "eval",
    };

    /// <summary>Whether a function is one of them.</summary>
    public static bool Has(string name) => Names.Contains(name);
}

using System.Text.Json.Serialization;
using Azure;
using Azure.Core.Pipeline;
using Azure.Identity;
using Azure.Storage;
using Azure.Storage.Blobs;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>A container of Azure Blob Storage.</summary>
internal sealed class AzureBlobOptions
{
    public const string AccountSetting = "account";
    public const string ContainerSetting = "container";
    public const string PrefixSetting = "prefix";
    public const string EndpointSetting = "endpoint";
    public const string AccountKeySetting = "account_key";
    public const string SasTokenSetting = "sas_token";
    public const string TenantSetting = "tenant_id";
    public const string ClientSetting = "client_id";
    public const string ClientSecretSetting = "client_secret";
    public const string BlockSizeSetting = "block_size";
    public const string ParallelBlocksSetting = "parallel_blocks";
    public const string AccessTierSetting = "access_tier";
    public const string TimeoutSetting = "timeout_seconds";

    // What a lane may hold twice.
    private const long LeastBlockSize = 1024 * 1024;
    private const long MostBlockSize = 512 * 1024 * 1024;

    private static readonly string[] AccessTiers = ["Hot", "Cool", "Cold"];

    public static DestinationKind Kind { get; } = new()
    {
        Name = "azure-blob",
        Description = "Block blobs in a container of Azure Blob Storage.",
        Settings =
        [
            new(AccountSetting, SettingType.Text, "The storage account's name.") { Required = true, Place = true },
            new(ContainerSetting, SettingType.Text, "The container; it must be there.") { Required = true, Place = true },
            new(PrefixSetting, SettingType.Text, $"Folders in the container, separated by slashes, with places such as {{year}}: {SliceKeys.Places}. Default none.") { Place = true },
            new(EndpointSetting, SettingType.Text, "The URL of the account's blob service, for other clouds, private addresses and emulators. Default https://ACCOUNT.blob.core.windows.net.") { Place = true },
            new(AccountKeySetting, SettingType.Text, "A key of the account. Default the identity of the machine.") { Secret = true, Asked = true },
            new(SasTokenSetting, SettingType.Text, "A shared access signature, in place of a key.") { Secret = true, Asked = true },
            new(TenantSetting, SettingType.Text, "The directory of the application that client_id names, with client_secret."),
            new(ClientSetting, SettingType.Text, "The application, or the identity of the machine where it has several. Default the machine's own."),
            new(ClientSecretSetting, SettingType.Text, "A secret of the application, in place of a key.") { Secret = true },
            new(BlockSizeSetting, SettingType.Number, "Bytes of a block of an upload. Default 16777216; from 1048576 to 536870912."),
            new(ParallelBlocksSetting, SettingType.Number, "Blocks of a slice that are sent at once; each slice in work holds one block more. Default 1; from 1 to 16."),
            new(AccessTierSetting, SettingType.Text, "How blobs are kept: Hot, Cool or Cold. Default what the account says."),
            new(TimeoutSetting, SettingType.Number, "Seconds until an answer must be there. Default 300; from 1 to 3600."),
        ],
        Open = (destination, format) => new AzureBlobDestination(DestinationOptions.Read<AzureBlobOptions>(destination).Validate(), format),
    };

    public required string Account { get; init; }

    public required string Container { get; init; }

    public string Prefix { get; init; } = "";

    public string? Endpoint { get; init; }

    public string? AccountKey { get; init; }

    public string? SasToken { get; init; }

    public string? TenantId { get; init; }

    public string? ClientId { get; init; }

    public string? ClientSecret { get; init; }

    public long BlockSize { get; init; } = 16 * 1024 * 1024;

    public int ParallelBlocks { get; init; } = 1;

    public string? AccessTier { get; init; }

    public int TimeoutSeconds { get; init; } = 300;

    /// <summary>The account, for messages.</summary>
    [JsonIgnore]
    public string Place => Endpoint ?? $"https://{Account}.blob.core.windows.net";

    /// <summary>The setting that says who we are; the key's where nothing is given.</summary>
    [JsonIgnore]
    public string CredentialSetting => Has(SasToken) ? SasTokenSetting : Has(ClientSecret) ? ClientSecretSetting : AccountKeySetting;

    public AzureBlobOptions Validate()
    {
        if (Account.Length is < 3 or > 24 || Account.Any(letter => !char.IsAsciiLetterLower(letter) && !char.IsAsciiDigit(letter)))
        {
            throw new UserErrorException(AccountSetting, $"\"{Account}\" cannot be the name of an account.", "Use its name alone: 3 to 24 lower-case letters and digits.");
        }

        if (Container.Length is < 3 or > 63 || Container.Any(letter => !char.IsAsciiLetterLower(letter) && !char.IsAsciiDigit(letter) && letter != '-'))
        {
            throw new UserErrorException(
                ContainerSetting, $"\"{Container}\" cannot be the name of a container.", "Use the container's name alone: 3 to 63 lower-case letters, digits and dashes.");
        }

        if (Endpoint is not null && !(Uri.TryCreate(Endpoint, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(EndpointSetting, $"\"{Endpoint}\" is no URL.", "Begin it with http:// or https://.");
        }

        if (AccessTier is not null && !AccessTiers.Contains(AccessTier))
        {
            throw new UserErrorException(
                AccessTierSetting, $"\"{AccessTier}\" is no access tier that can be read back at once.", $"Use {string.Join(", ", AccessTiers)}, or move blobs to others later by a rule of the account.");
        }

        ValidateCredentials();
        ModelCheck.Range(BlockSizeSetting, BlockSize, LeastBlockSize, MostBlockSize);
        ModelCheck.Range(ParallelBlocksSetting, ParallelBlocks, 1, 16);
        ModelCheck.Range(TimeoutSetting, TimeoutSeconds, 1, 3_600);
        return this;
    }

    /// <summary>A client with these settings; it connects when it is first used.</summary>
    public BlobContainerClient CreateClient(HttpPipelineTransport? transport)
    {
        var uri = new Uri($"{Place.TrimEnd('/')}/{Container}");
        var options = new BlobClientOptions { RetryPolicy = new ShortRetryPolicy(), Retry = { NetworkTimeout = TimeSpan.FromSeconds(TimeoutSeconds) } };
        if (transport is not null)
        {
            options.Transport = transport;
        }

        return (AccountKey, SasToken, ClientSecret) switch
        {
            ({ Length: > 0 } key, _, _) => new BlobContainerClient(uri, new StorageSharedKeyCredential(Account, key), options),
            (_, { Length: > 0 } token, _) => new BlobContainerClient(uri, new AzureSasCredential(token.TrimStart('?')), options),
            (_, _, { Length: > 0 } secret) => new BlobContainerClient(uri, new ClientSecretCredential(TenantId, ClientId, secret), options),
            _ => new BlobContainerClient(uri, new DefaultAzureCredential(Identity()), options),
        };
    }

    private DefaultAzureCredentialOptions Identity() => Has(ClientId) ? new() { ManagedIdentityClientId = ClientId, WorkloadIdentityClientId = ClientId } : new();

    private void ValidateCredentials()
    {
        var given = new[] { (AccountKeySetting, AccountKey), (SasTokenSetting, SasToken), (ClientSecretSetting, ClientSecret) }.Where(pair => Has(pair.Item2)).Select(pair => pair.Item1).ToList();
        if (given.Count > 1)
        {
            throw new UserErrorException(given[1], $"{given[0]} and {given[1]} are both given.", "Give one of them.");
        }

        if (Has(AccountKey) && !Convert.TryFromBase64String(AccountKey!, new byte[AccountKey!.Length], out _))
        {
            throw new UserErrorException(AccountKeySetting, "account_key is no key: it is not base64.", "Copy it from the account's access keys.");
        }

        if (Has(SasToken) && !SasToken!.Contains("sig=", StringComparison.Ordinal))
        {
            throw new UserErrorException(SasTokenSetting, "sas_token is no signature: it has no sig=.", "Give what stands behind the question mark of the container's URL.");
        }

        if (Has(ClientSecret) != Has(TenantId) || (Has(ClientSecret) && !Has(ClientId)))
        {
            var missing = !Has(ClientSecret) ? ClientSecretSetting : !Has(TenantId) ? TenantSetting : ClientSetting;
            throw new UserErrorException(missing, $"{missing} is missing.", "Give tenant_id, client_id and client_secret together; client_id alone names an identity of the machine.");
        }
    }

    private static bool Has(string? value) => !string.IsNullOrEmpty(value);
}

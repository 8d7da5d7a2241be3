using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Destinations;

public sealed class AzureBlobContract : DestinationContract
{
    private LocalAzurite _server = null!;
    private string _container = "";

    // Azure has no request that throws blocks away and shows nobody an empty blob meanwhile.
    protected override bool KeepsWhatIsGivenUp => true;

    private BlobContainerClient Client => _server.Client().GetBlobContainerClient(_container);

    [SetUp]
    public async Task MakeContainerAsync()
    {
        _server = await TestServers.AzuriteAsync();
        _container = await _server.CreateContainerAsync();
    }

    protected override IDestination Make(FormatOptions format) => DestinationKinds.Open(
        new Destination
        {
            Name = "azure",
            Kind = "azure-blob",
            Settings = new()
            {
                ["account"] = LocalAzurite.Account, ["container"] = _container, ["prefix"] = "team/a", ["endpoint"] = _server.Endpoint.ToString(), ["block_size"] = 1024 * 1024,
            },
            Secrets = new Dictionary<string, string> { ["account_key"] = LocalAzurite.AccountKey },
        },
        format);

    protected override async Task<IReadOnlyList<string>> VisibleAsync() =>
        [.. (await Client.GetBlobsAsync(new GetBlobsOptions()).ToListAsync()).Select(found => found.Name).Order(StringComparer.Ordinal)];

    protected override async Task<IReadOnlyList<string>> HiddenAsync()
    {
        var visible = await VisibleAsync();
        return
        [
            .. (await Client.GetBlobsAsync(new GetBlobsOptions { States = BlobStates.Uncommitted }).ToListAsync()).Select(found => found.Name).Where(name => !visible.Contains(name)),
        ];
    }

    protected override async Task<byte[]> BytesAsync(string key) => (await Client.GetBlobClient(key).DownloadContentAsync()).Value.Content.ToArray();
}

using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>Does in small, step by step, what an export does to a container, and takes it back.</summary>
internal sealed class AzureBlobCheck(AzureBlobDestination destination, AzureContainer container, AzureBlobOptions options, string start)
{
    private static readonly byte[] Content = "exporter"u8.ToArray();

    private readonly Guid _id = Guid.NewGuid();
    private bool _written;

    private string Name => $"{start}.exporter-check-{_id:N}";

    private string Block => AzureContainer.BlockId(_id, 0);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [
            ("connect", ConnectAsync),
            ("permissions", MayStageAsync),
            ("write", WriteAsync),
            ("read back", ReadAsync),
            ("clean up", CleanUpAsync),
        ],
        () => _written ? container.DeleteAsync(Name, CancellationToken.None) : Task.CompletedTask,
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        await foreach (var _ in container.BlobsAsync(start, cancellationToken).ConfigureAwait(false))
        {
            break;
        }

        return $"The container {options.Container} is there and can be listed.";
    }

    private async Task<string> MayStageAsync(CancellationToken cancellationToken)
    {
        using var output = new ChunkedStream();
        output.Write(Content);
        using var bytes = output.TakeAll();
        await container.StageAsync(Name, Block, bytes, cancellationToken).ConfigureAwait(false);
        return "Blocks may be sent.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        _written = true;
        await container.CommitAsync(Name, [Block], before: null, _id, Content.Length, cancellationToken).ConfigureAwait(false);
        return $"{Name} was written.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var read = await container.ReadAsync(Name, cancellationToken).ConfigureAwait(false);
        return read.AsSpan().SequenceEqual(Content) ? "It was read back." : throw new IOException($"{Name} holds other bytes than were written.");
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await container.DeleteAsync(Name, cancellationToken).ConfigureAwait(false);
        return "It was removed; nothing is left.";
    }
}

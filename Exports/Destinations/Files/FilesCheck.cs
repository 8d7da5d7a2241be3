using System.Globalization;
using System.Security.Cryptography;

namespace Exporter.Exports.Destinations.Files;

/// <summary>Tries in a folder what an export does, under a hidden name of its own.</summary>
internal sealed class FilesCheck(FilesDestination destination, string root, string prefix, Action checkRoot, Func<string, FileStream> open)
{
    private const int Bytes = 64 * 1024;
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(Bytes);
    private readonly string _name = $".exporter-check-{Guid.NewGuid():N}";

    // The deepest folder of the prefix that is there: a check makes none.
    private string Folder
    {
        get
        {
            var folder = Path.Combine(root, prefix).TrimEnd('/');
            while (folder.Length > root.Length && !Directory.Exists(folder))
            {
                folder = Path.GetDirectoryName(folder)!;
            }

            return folder;
        }
    }

    private string Temporary => Path.Combine(Folder, _name + ".tmp");

    private string Renamed => Path.Combine(Folder, _name);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [("connect", _ => Connect()), ("permissions", _ => Permissions()), ("write", WriteAsync), ("read back", ReadAsync), ("clean up", _ => CleanUp())],
        CleanUp,
        cancellationToken);

    private Task<string> Connect()
    {
        checkRoot();
        var free = new DriveInfo(root).AvailableFreeSpace / (1024.0 * 1024 * 1024);
        return Task.FromResult(string.Create(CultureInfo.InvariantCulture, $"{root} is there, with {free:F1} GiB free."));
    }

    private Task<string> Permissions()
    {
        open(Temporary).Dispose();
        return Task.FromResult($"Files can be created in {Folder}.");
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        await FileFolder.WriteAsync(Renamed, Temporary, _content, open, cancellationToken).ConfigureAwait(false);
        return string.Create(CultureInfo.InvariantCulture, $"{Bytes} bytes written, synchronised to disk and renamed.");
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var read = await File.ReadAllBytesAsync(Renamed, cancellationToken).ConfigureAwait(false);
        return read.AsSpan().SequenceEqual(_content)
            ? "The same bytes came back."
            : throw new UserErrorException(FilesOptions.RootSetting, "Other bytes came back than were written.", "Look at the file system's health.");
    }

    private Task<string> CleanUp()
    {
        File.Delete(Temporary);
        File.Delete(Renamed);
        return Task.FromResult("Nothing is left behind.");
    }
}

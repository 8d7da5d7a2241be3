using System.Globalization;
using System.Security.Cryptography;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Files;

/// <summary>Files in a folder. A file appears under its name whole and durable, or not at all.</summary>
/// <param name="options">The folder.</param>
/// <param name="format">What files hold.</param>
/// <param name="open">Opens a new file; null: as <see cref="FileFolder.Open"/> does.</param>
internal sealed class FilesDestination(FilesOptions options, FormatOptions format, Func<string, FileStream>? open = null) : IDestination
{
    private readonly Func<string, FileStream> _open = open ?? FileFolder.Open;
    private readonly string _root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.Root));
    private readonly SliceKeys _keys = new(FilesOptions.PrefixSetting, options.Prefix, EncoderFactory.FileExtension(format));

    private readonly EarlierManifests _manifests = new();

    public bool TakesNestedValues => true;

    public IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken) =>
        new FilesCheck(this, _root, _keys.Start, CheckRoot, _open).RunAsync(cancellationToken);

    public Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) => PlannedCommit.FindAsync(
        address, _keys.Slice(address), planned => Task.Run(() => IsThereAsync(planned.Receipt, cancellationToken), cancellationToken));

    public Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken) => Task.Run<ISliceSink>(
        async () =>
        {
            var folder = FolderOf(address.Export, address.Interval, address.Table);
            foreach (var left in Names(folder).Where(name => TemporaryName.IsOlder(name, address)))
            {
                File.Delete(Path.Combine(folder, left));
            }

            // Here and not at the commit: a frozen attempt that comes back must not remove the manifest of a finished run.
            await _manifests.GoneAsync(Path.Combine(folder, ManifestDocument.FileName), RemoveAsync, cancellationToken).ConfigureAwait(false);
            var temporary = Path.Combine(folder, TemporaryName.OfSlice(address));
            return new FileSliceSink(format, schema, address, _open(temporary), temporary, Path.Combine(folder, _keys.SliceName(address.Slice)), _keys.Slice(address));
        },
        cancellationToken);

    public async Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken)
    {
        var document = ManifestDocument.Of(manifest);
        var folder = FolderOf(manifest.Export, manifest.Interval, manifest.Table);
        var path = Path.Combine(folder, ManifestDocument.FileName);
        CheckFiles(document);

        // A manifest must not stand beside files that it does not list, so these go first; readers of the old one are told by
        // its absence.
        var listed = document.Files.Select(file => Path.GetFileName(file.File)).ToHashSet(StringComparer.Ordinal);
        var stale = Names(folder).Where(name => TemporaryName.Is(name) || (SliceKeys.IsSliceName(name) && !listed.Contains(name))).ToList();
        if (stale.Any(SliceKeys.IsSliceName))
        {
            await _manifests.GoneAsync(path, RemoveAsync, cancellationToken).ConfigureAwait(false);
        }

        stale.ForEach(name => File.Delete(Path.Combine(folder, name)));
        await FileFolder.WriteAsync(
            path,
            Path.Combine(folder, TemporaryName.OfManifest()),
            document.ToBytes(),
            _open,
            cancellationToken).ConfigureAwait(false);
        _manifests.Written(path);
    }

    public ColumnLimit? LimitOf(Field field) => FileLimits.Of(format, field);

    public ExportError? Classify(Exception exception) => FileErrors.Sort(exception);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static Task RemoveAsync(string path, CancellationToken cancellationToken)
    {
        if (File.Exists(path))
        {
            File.Delete(path);
            FileFolder.Sync(Path.GetDirectoryName(path)!);
        }

        return Task.CompletedTask;
    }

    // A file has no place to say who wrote it; the same bytes are the same rows, whoever did. Who renamed it may have died before the name was
    // on disk.
    private async Task<bool> IsThereAsync(SliceReceipt receipt, CancellationToken cancellationToken)
    {
        CheckRoot();
        var found = new FileInfo(Path.Combine(_root, receipt.File!));
        if (!found.Exists || found.Length != receipt.Bytes)
        {
            return false;
        }

        var content = found.OpenRead();
        await using var closing = content.ConfigureAwait(false);
        if (Convert.ToHexStringLower(await SHA256.HashDataAsync(content, cancellationToken).ConfigureAwait(false)) != receipt.Sha256)
        {
            return false;
        }

        FileFolder.Sync(found.DirectoryName!);
        return true;
    }

    private static IEnumerable<string> Names(string folder) => Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)).ToList();

    private string FolderOf(string export, DataInterval interval, string table)
    {
        CheckRoot();
        var folder = Path.Combine(_root, _keys.Folder(export, interval, table).TrimEnd('/'));
        FileFolder.Create(_root, folder);
        return folder;
    }

    // The folder of a mount is there too when nothing is mounted; then what is written lies below it, and on another disk.
    private void CheckRoot()
    {
        if (!Directory.Exists(_root))
        {
            throw new UserErrorException(
                FilesOptions.RootSetting, File.Exists(_root) ? $"{_root} is a file." : $"There is no folder {_root}.", "Create or mount it on every machine that a worker runs on.");
        }

        if (options.Mounted && !DriveInfo.GetDrives().Any(drive => drive.Name.Length > 1 && (_root + '/').StartsWith(drive.Name.TrimEnd('/') + '/', StringComparison.Ordinal)))
        {
            throw new UserErrorException(FilesOptions.RootSetting, $"Nothing is mounted at {_root}.", "Mount it on every machine that a worker runs on; then the run goes on from its last slice.");
        }
    }

    private void CheckFiles(ManifestDocument document)
    {
        foreach (var file in document.Files)
        {
            var found = new FileInfo(Path.Combine(_root, file.File));
            if (!found.Exists || found.Length != file.Bytes)
            {
                var now = found.Exists ? string.Create(CultureInfo.InvariantCulture, $"has {found.Length} bytes instead of {file.Bytes}") : "is gone";
                throw new UserErrorException(
                    FilesOptions.RootSetting,
                    $"{found.FullName} was committed and {now}.",
                    "See that nothing else writes or deletes there, then export the interval again.");
            }
        }
    }
}

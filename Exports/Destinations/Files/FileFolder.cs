using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Exporter.Exports.Destinations.Files;

/// <summary>Changes to folders that are there after a power cut: names are synchronised to disk as well as contents.</summary>
internal static class FileFolder
{
    private const int ReadOnly = 0;
    private const int CloseOnExec = 0x80000;

    /// <summary>Makes a folder below <paramref name="root"/>, which must be there, and all between them.</summary>
    public static void Create(string root, string folder)
    {
        var missing = new Stack<string>();
        for (var at = folder.TrimEnd('/'); at.Length > root.Length && !Directory.Exists(at); at = Path.GetDirectoryName(at)!)
        {
            missing.Push(at);
        }

        foreach (var path in missing)
        {
            Directory.CreateDirectory(path);
            Sync(Path.GetDirectoryName(path)!);
        }
    }

    /// <summary>Writes a file whole or not at all: under a temporary name in the same folder, then renamed.</summary>
    public static async Task WriteAsync(string path, string temporary, ReadOnlyMemory<byte> bytes, Func<string, FileStream> open, CancellationToken cancellationToken)
    {
        var file = open(temporary);
        await using (file.ConfigureAwait(false))
        {
            await file.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
            await FlushAsync(file, cancellationToken).ConfigureAwait(false);
        }

        File.Move(temporary, path, overwrite: true);
        Sync(Path.GetDirectoryName(path)!);
    }

    /// <summary>A new file. Not buffered: what is written comes in large pieces. Not locked: some mounted folders cannot.</summary>
    public static FileStream Open(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        Share = FileShare.ReadWrite | FileShare.Delete,
        BufferSize = 0,
    });

    /// <summary>Synchronises a file's contents to disk, which takes long for a large one, so not on the caller's thread.</summary>
    public static Task FlushAsync(FileStream file, CancellationToken cancellationToken) =>
        Task.Run(() => RandomAccess.FlushToDisk(file.SafeFileHandle), cancellationToken);

    /// <summary>Synchronises a folder's names to disk. Windows does so by itself.</summary>
    public static void Sync(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var handle = OpenFolder(folder, OperatingSystem.IsLinux() ? ReadOnly | CloseOnExec : ReadOnly);
        if (handle < 0)
        {
            throw Failed(folder);
        }

        try
        {
            if (SyncFolder(handle) < 0)
            {
                throw Failed(folder);
            }
        }
        finally
        {
            _ = CloseFolder(handle);
        }
    }

    private static IOException Failed(string folder)
    {
        var code = Marshal.GetLastPInvokeError();
        return new IOException($"{new Win32Exception(code).Message} : '{folder}'", code);
    }

    // .NET opens files only, and a folder's names are durable only after an fsync of the folder itself.
    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int OpenFolder([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SyncFolder(int handle);

    [DllImport("libc", EntryPoint = "close", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int CloseFolder(int handle);
}

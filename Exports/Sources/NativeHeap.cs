using System.Runtime.InteropServices;

namespace Exporter.Exports.Sources;

/// <summary>The C library's heap, on which the blocks of batches and of Parquet's writers stand.</summary>
internal static class NativeHeap
{
    private const int MmapThreshold = -3;
    private const int ThresholdBytes = 4 * 1024 * 1024;

    /// <summary>
    /// Large blocks go back to the system when they are freed. By default glibc raises the size that it calls large with
    /// every block that is freed, up to 32 MB; then blocks of that size stay in its arenas for ever: 100 MB and more in a worker.
    /// </summary>
    public static void GiveLargeBlocksBack()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        try
        {
            _ = SetOption(MmapThreshold, ThresholdBytes);
        }
        catch (EntryPointNotFoundException)
        {
            // Another C library than glibc: it has no such setting.
        }
    }

    [DllImport("libc", EntryPoint = "mallopt")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetOption(int option, int value);
}

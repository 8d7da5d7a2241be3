namespace Exporter.Exports.Destinations.Files;

/// <summary>Errors of file systems, sorted by who has to act.</summary>
internal static class FileErrors
{
    private const int NotPermitted = 1;
    private const int StaleHandle = 116;
    private const int NotConnected = 107;
    private const int AccessDenied = 13;
    private const int FileTooLarge = 27;
    private const int NoSpace = 28;
    private const int ReadOnlyFileSystem = 30;
    private const int NameTooLong = 36;
    private const int QuotaExceeded = 122;

    // What Windows answers when the disk is full: ERROR_DISK_FULL as an HRESULT.
    private const int WindowsDiskFull = unchecked((int)0x80070070);

    public static ExportError? Sort(Exception error) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        UnauthorizedAccessException { InnerException: IOException { HResult: ReadOnlyFileSystem } } => ReadOnly(error),
        UnauthorizedAccessException => Denied(error),
        PathTooLongException => TooLong(error),
        IOException io => io.HResult switch
        {
            NoSpace or WindowsDiskFull => User(error, "The disk is full.", FilesOptions.RootSetting, "Free some space there, or export to another folder; then the run goes on from its last slice."),
            QuotaExceeded => User(error, "The disk quota is used up.", FilesOptions.RootSetting, "Raise the quota, or export to another folder; then the run goes on from its last slice."),
            ReadOnlyFileSystem => ReadOnly(error),
            StaleHandle or NotConnected => User(error, "The mounted folder is gone.", FilesOptions.RootSetting, "Mount it again; then the run goes on from its last slice."),
            AccessDenied or NotPermitted => Denied(error),
            NameTooLong => TooLong(error),
            FileTooLarge => TooLarge(error),
            _ => new(ErrorKind.Transient, io.Message),
        },

        // What .NET makes of EFBIG.
        ArgumentOutOfRangeException { ParamName: "value" } => TooLarge(error),
        TimeoutException => new(ErrorKind.Transient, error.Message),
        _ => null,
    };

    private static ExportError TooLarge(Exception error) => User(
        error, "The file system, or a limit of the worker's process, refuses a file as large as this slice.", FilesOptions.RootSetting, "Export to a file system that takes larger files, raise the limit, or make slices smaller.");

    private static ExportError Denied(Exception error) => User(
        error, "Writing is not permitted.", FilesOptions.RootSetting, "Let the user that the worker runs as write to this folder and everything in it.");

    private static ExportError ReadOnly(Exception error) => User(
        error, "The file system is read-only.", FilesOptions.RootSetting, "Mount it writable, or export to another folder.");

    private static ExportError TooLong(Exception error) => User(
        error, "The path of a file becomes too long.", FilesOptions.PrefixSetting, "Use a shorter prefix, root or name of the export.");

    private static ExportError User(Exception error, string problem, string setting, string advice) =>
        new(ErrorKind.User, $"{problem} {error.Message.TrimEnd('.')}.", setting, advice);
}

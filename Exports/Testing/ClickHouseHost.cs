using System.Runtime.InteropServices;

namespace Exporter.Exports.Testing;

/// <summary>
/// The child process that is a ClickHouse server: <c>exporter local-clickhouse LIBRARY DIRECTORY HTTP_PORT TCP_PORT</c>. It
/// has nothing else in it, because the library takes a process over. It ends when its standard input does.
/// </summary>
internal static class ClickHouseHost
{
    public const string Command = "local-clickhouse";

    // The query never ends before standard input does; until then the servers that it has started answer.
    private const string Query = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; SELECT count() FROM table";

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int QueryCommandLine(int count, string[] arguments);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void SetSignalHandlersEnabled(int enabled);

    public static int Run(string[] args)
    {
        if (args.Length != 4)
        {
            Console.Error.WriteLine($"usage: exporter {Command} LIBRARY DIRECTORY HTTP_PORT TCP_PORT");
            return 2;
        }

        var library = NativeLibrary.Load(args[0]);
        // Its own handlers would kill .NET at the first caught NullReferenceException.
        Marshal.GetDelegateForFunctionPointer<SetSignalHandlersEnabled>(NativeLibrary.GetExport(library, "chdb_set_signal_handlers_enabled"))(0);
        string[] arguments =
        [
            "clickhouse-local",
            $"--config-file={Path.Combine(args[1], "config.xml")}",
            $"--path={Path.Combine(args[1], "data")}",
            "--listen_host", "127.0.0.1", "--http_port", args[2], "--tcp_port", args[3],
            "--structure", "x String", "--input-format", "LineAsString", "--query", Query,
        ];
        return Marshal.GetDelegateForFunctionPointer<QueryCommandLine>(NativeLibrary.GetExport(library, "chdb_query_cmdline"))(arguments.Length, arguments);
    }
}

using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>The options that say how a run works.</summary>
internal sealed class RunOptions
{
    private readonly Option<int?> _parallel = new("--parallel-slices") { Description = "Slices of a run at once. Default 4; from 1 to 64", HelpName = "number" };
    private readonly Option<long?> _sliceBytes = Values.Bytes("--slice-size", "About how large a slice is in the source. Default 64MiB; from 1KiB to 16GiB");
    private readonly Option<long?> _fileBytes = Values.Bytes("--max-file-size", "The most bytes of a file. Default none; from 1KiB to 1024GiB");
    private readonly Option<TimeSpan?> _sliceTime = Values.Time("--max-slice-time", "How long an attempt of a slice may take before it is split in two. Default 30m; from 1s to 1d", "duration");
    private readonly Option<BadRowPolicy?> _badRows = Values.Word<BadRowPolicy>("--bad-rows", "What becomes of a row with a value that the destination cannot hold. Default fail");
    private readonly Option<int?> _mostBadRows = new("--max-bad-rows") { Description = "Rows of one slice that may be put aside before the run fails. Default 1,000; from 1 to 100,000", HelpName = "rows" };
    private readonly Option<TimeSpan?> _verifyAfter = Values.Time("--verify-after", "How long after its end a run is compared with the source again, and what changed exported again. Default 0s, never; to 30d", "duration");
    private readonly Option<TimeSpan?> _lateAfter = Values.Time("--late-after", "How long after its end an interval has to be at the destination; later the export is late, see `exporter notification`. Default none; from 1m to 30d", "duration");
    private readonly Option<int?> _failures = new("--pause-after-failures") { Description = "Intervals in a row that fail before the export pauses itself. Default 24, daily 7, weekly 4; from 0, never, to 1,000", HelpName = "number" };
    private readonly Option<long?> _dayRows = new("--max-rows-per-day") { Description = "A run that would be more than that with the others of the day (UTC) fails before it moves anything. Default none", HelpName = "rows" };
    private readonly Option<long?> _dayBytes = Values.Bytes("--max-bytes-per-day", "The same for bytes in the source, uncompressed. Default none; at least 1KiB");

    /// <summary>In the order of the help.</summary>
    public IReadOnlyList<Symbol> All => [_parallel, _sliceBytes, _fileBytes, _sliceTime, _badRows, _mostBadRows, _verifyAfter, _lateAfter, _failures, _dayRows, _dayBytes];

    /// <summary>Settings with what is given in place of what they have.</summary>
    public ExportSettings Change(ParseResult parse, ExportSettings current) => current with
    {
        ParallelSlices = parse.GetValue(_parallel) ?? current.ParallelSlices,
        TargetSliceBytes = parse.GetValue(_sliceBytes) ?? current.TargetSliceBytes,
        MaxFileBytes = parse.GetValue(_fileBytes) ?? current.MaxFileBytes,
        MaxSliceTime = parse.GetValue(_sliceTime) ?? current.MaxSliceTime,
        BadRows = parse.GetValue(_badRows) ?? current.BadRows,
        MaxBadRows = parse.GetValue(_mostBadRows) ?? current.MaxBadRows,
        VerifyAfter = parse.GetValue(_verifyAfter) ?? current.VerifyAfter,
        LateAfter = parse.GetValue(_lateAfter) ?? current.LateAfter,
        PauseAfterFailures = parse.GetValue(_failures) ?? current.PauseAfterFailures,
        MaxRowsPerDay = parse.GetValue(_dayRows) ?? current.MaxRowsPerDay,
        MaxBytesPerDay = parse.GetValue(_dayBytes) ?? current.MaxBytesPerDay,
    };
}

using System.Text.Json;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What every destination of objects promises. A destination's own fixture says how to reach it, and adds what is its own.</summary>
public abstract class DestinationContract : SliceContract
{
    /// <summary>The bytes under a key.</summary>
    protected abstract Task<byte[]> BytesAsync(string key);

    [Test]
    public async Task A_slice_appears_with_its_commit_and_not_before()
    {
        await using var sink = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(sink, "a", "b");
        Assert.That(await VisibleAsync(), Is.Empty);

        var receipt = await sink.CommitAsync(CancellationToken.None);

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { receipt.File }));
        Assert.That(await ValuesAsync(receipt), Is.EqualTo(new[] { "a", "b" }));
    }

    [Test]
    public async Task A_receipt_says_what_lies_there()
    {
        var receipt = await ExportAsync(Open(), Slice(3), "a", "b", "c");
        var bytes = await BytesAsync(receipt.File!);

        Assert.That(receipt.Slice, Is.EqualTo(3));
        Assert.That(receipt.Rows, Is.EqualTo(3));
        Assert.That(receipt.Bytes, Is.EqualTo(bytes.Length));
        Assert.That(receipt.Sha256, Is.EqualTo(SliceBytes.Sha256(bytes)));
    }

    [Test]
    public async Task A_slice_of_many_parts_comes_back_row_by_row()
    {
        var rows = Enumerable.Range(0, 12_000).Select(row => $"{row:D8}{Noise(row, 1_200)}").ToArray();
        await using var sink = await Open(new FormatOptions { Compression = Compression.None, RowGroupRows = 1_000 })
            .OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        foreach (var batch in rows.Chunk(997))
        {
            await WriteAsync(sink, batch);
        }

        var receipt = await sink.CommitAsync(CancellationToken.None);

        Assert.That(receipt.Bytes, Is.GreaterThan(12 * 1024 * 1024));
        Assert.That(SliceBytes.Sha256(await BytesAsync(receipt.File!)), Is.EqualTo(receipt.Sha256));
        Assert.That(await ValuesAsync(receipt), Is.EqualTo(rows));
        Assert.That(await HiddenAsync(), Is.Empty);
    }

    [Test]
    public async Task Committed_twice_is_there_once()
    {
        await ExportAsync(Open(), Slice(0, attempt: 1, token: 1), "first");
        var again = await ExportAsync(Open(), Slice(0, attempt: 1, token: 2), "again");

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { again.File }));
        Assert.That(await ValuesAsync(again), Is.EqualTo(new[] { "again" }));
    }

    [Test]
    public async Task Killed_before_its_commit_a_slice_is_invisible_and_its_next_attempt_complete()
    {
        // Never disposed of before the next attempt is through: as a killed process leaves it.
        var killed = await Open(new FormatOptions { Compression = Compression.None }).OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(killed, [.. Enumerable.Range(0, 30_000).Select(row => Noise(row, 300))]);
        Assert.That(await VisibleAsync(), Is.Empty);
        Assert.That(await HiddenAsync(), Is.Not.Empty, "it was killed with something written");

        var receipt = await ExportAsync(Open(), Slice(0, attempt: 1, token: 2), "whole");
        Assert.That(await HiddenAsync(), Is.Empty, "the dead attempt's remains are gone");
        await killed.DisposeAsync();

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { receipt.File }));
        Assert.That(await ValuesAsync(receipt), Is.EqualTo(new[] { "whole" }));
    }

    [Test]
    public async Task What_a_step_has_committed_its_next_attempt_finds_and_does_not_write_again()
    {
        var progress = new KeptProgress();
        Assert.That(await FindAsync(Slice(0), progress), Is.Null);
        SliceReceipt receipt;
        await using (var sink = await Open().OpenSliceAsync(Slice(0) with { Progress = progress }, SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, "a", "b");
            sink.Note("a note");
            receipt = await sink.CommitAsync(CancellationToken.None);
        }

        Assert.That(await FindAsync(Slice(0, attempt: 2), progress), Is.EqualTo(new CommittedSlice(receipt, "a note") { By = (1, 1) }));
        Assert.That(await FindAsync(Slice(0, attempt: 2), new KeptProgress()), Is.Null, "of another step it is another slice");
        Assert.That(await FindAsync(Slice(1), progress), Is.Null);

        await ExportAsync(Open(), Slice(0, token: 2), "a", "c");
        Assert.That(await FindAsync(Slice(0, attempt: 2), progress), Is.Null, "that is not what lies there any more");
    }

    [Test]
    public async Task Frozen_when_it_was_about_to_commit_it_commits_nothing_once_the_next_attempt_has_begun()
    {
        var (progress, whole) = (new KeptProgress(), (SliceReceipt?)null);
        progress.Kept = async () =>
        {
            progress.Kept = null;
            Assert.That(await FindAsync(Slice(0, token: 2), progress), Is.Null, "it is recorded and not there");
            whole = await ExportAsync(Open(), Slice(0, token: 2) with { Progress = progress }, "whole");
        };
        await using (var frozen = await Open().OpenSliceAsync(Slice(0) with { Progress = progress }, SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(frozen, "frozen");
            Assert.That(() => frozen.CommitAsync(CancellationToken.None), Throws.Exception);
        }

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { whole!.File }));
        Assert.That(await ValuesAsync(whole), Is.EqualTo(new[] { "whole" }));
        Assert.That((await FindAsync(Slice(0, token: 3), progress))?.Receipt, Is.EqualTo(whole));
    }

    [Test]
    public async Task Who_may_not_record_what_it_is_about_to_commit_commits_and_removes_nothing()
    {
        var before = await ExportAsync(Open(), Slice(0), "there");
        foreach (var values in new string[][] { ["late"], [] })
        {
            var address = Slice(0) with { Progress = new KeptProgress { IsLost = true } };
            Assert.That(() => ExportAsync(Open(), address, values), Throws.InstanceOf<OperationCanceledException>());
        }

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { before.File }));
        Assert.That(await ValuesAsync(before), Is.EqualTo(new[] { "there" }));
    }

    [Test]
    public async Task Given_up_before_its_commit_a_slice_leaves_nothing()
    {
        await using (var sink = await Open(new FormatOptions { Compression = Compression.None }).OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, [.. Enumerable.Range(0, 30_000).Select(row => Noise(row, 300))]);
        }

        Assert.That(await VisibleAsync(), Is.Empty);
        Assert.That(await HiddenAsync(), KeepsWhatIsGivenUp ? Is.Not.Empty : Is.Empty);
    }

    [Test]
    public async Task Slices_side_by_side_do_not_touch_each_other()
    {
        var destination = Open();
        var receipts = await Task.WhenAll(Enumerable.Range(0, 8).Select(slice => ExportAsync(destination, Slice(slice), $"row of {slice}")));

        foreach (var receipt in receipts)
        {
            Assert.That(await ValuesAsync(receipt), Is.EqualTo(new[] { $"row of {receipt.Slice}" }));
        }
    }

    [Test]
    public async Task An_empty_slice_writes_no_file()
    {
        var destination = Open();
        var receipt = await ExportAsync(destination, Slice(0));
        await destination.FinishAsync(Manifest(receipt), CancellationToken.None);

        Assert.That(receipt, Is.EqualTo(new SliceReceipt { Slice = 0, Rows = 0, Bytes = 0 }));
        Assert.That(await VisibleAsync(), Has.Count.EqualTo(1).And.All.EndsWith("/manifest.json"));
    }

    [Test]
    public async Task A_slice_that_became_empty_replaces_its_file_by_none()
    {
        await ExportAsync(Open(), Slice(0, token: 1), "row");
        await ExportAsync(Open(), Slice(0, token: 2));

        Assert.That(await VisibleAsync(), Is.Empty);
    }

    [Test]
    public async Task A_discarded_slice_leaves_nothing_of_any_attempt()
    {
        var killed = await Open(new FormatOptions { Compression = Compression.None }).OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(killed, [.. Enumerable.Range(0, 30_000).Select(row => Noise(row, 300))]);
        await ExportAsync(Open(), Slice(0, token: 2), "row");
        var other = await ExportAsync(Open(), Slice(1), "other");

        await Open().DiscardSliceAsync(Slice(0, token: 3), CancellationToken.None);
        await Open().DiscardSliceAsync(Slice(0, token: 3), CancellationToken.None);

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { other.File }));
        Assert.That(await HiddenAsync(), Is.Empty);
        Assert.That(async () => await killed.CommitAsync(CancellationToken.None), Throws.Exception, "an attempt from before finds nothing to commit");
        await killed.DisposeAsync();
        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { other.File }));
    }

    [Test]
    public async Task The_manifest_lists_exactly_what_lies_there()
    {
        var destination = Open();
        var receipts = new[] { await ExportAsync(destination, Slice(0), "a", "b"), await ExportAsync(destination, Slice(1)), await ExportAsync(destination, Slice(2), "c") };
        var manifest = Manifest(receipts);
        await destination.FinishAsync(manifest, CancellationToken.None);

        var visible = await VisibleAsync();
        using var document = JsonDocument.Parse(await BytesAsync(visible.Single(key => key.EndsWith("/manifest.json", StringComparison.Ordinal))));
        var root = document.RootElement;
        var files = root.GetProperty("files").EnumerateArray().ToList();

        Assert.That(root.GetProperty("run_id").GetGuid(), Is.EqualTo(manifest.RunId));
        Assert.That(root.GetProperty("export").GetString(), Is.EqualTo(Export));
        Assert.That(root.GetProperty("interval_start").GetDateTimeOffset(), Is.EqualTo(Day.Start));
        Assert.That(root.GetProperty("interval_end").GetDateTimeOffset(), Is.EqualTo(Day.End));
        Assert.That(root.GetProperty("rows").GetInt64(), Is.EqualTo(3));
        Assert.That(files.Select(file => file.GetProperty("file").GetString()), Is.EqualTo(visible.Where(key => !key.EndsWith(".json", StringComparison.Ordinal))));
        foreach (var file in files)
        {
            var bytes = await BytesAsync(file.GetProperty("file").GetString()!);
            Assert.That(file.GetProperty("sha256").GetString(), Is.EqualTo(SliceBytes.Sha256(bytes)));
            Assert.That(file.GetProperty("bytes").GetInt64(), Is.EqualTo(bytes.Length));
            Assert.That(file.GetProperty("rows").GetInt64(), Is.EqualTo((await SliceRows.ReadAsync(new MemoryStream(bytes))).Count));
        }
    }

    [Test]
    public async Task Exported_again_with_fewer_slices_or_another_format_no_stale_file_stays()
    {
        var first = Open();
        await first.FinishAsync(
            Manifest(await ExportAsync(first, Slice(0), "a"), await ExportAsync(first, Slice(1), "b"), await ExportAsync(first, Slice(2), "c")),
            CancellationToken.None);
        await (await first.OpenSliceAsync(Slice(9), SliceRows.Schema, CancellationToken.None)).DisposeAsync();

        var second = Open(new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None });
        var receipt = await ExportAsync(second, Slice(0, token: 2), "only");
        await second.FinishAsync(Manifest(receipt), CancellationToken.None);

        var visible = await VisibleAsync();
        Assert.That(visible, Has.Count.EqualTo(2));
        Assert.That(visible.Select(Path.GetFileName), Is.EquivalentTo(new[] { "manifest.json", "slice-00000.jsonl" }));
    }

    [Test]
    public async Task While_an_interval_is_exported_again_no_manifest_speaks_of_files_that_change()
    {
        var first = Open();
        await first.FinishAsync(Manifest(await ExportAsync(first, Slice(0), "old")), CancellationToken.None);

        var receipt = await ExportAsync(Open(), Slice(0, token: 2), "new");

        Assert.That(await VisibleAsync(), Is.EqualTo(new[] { receipt.File }));
    }

    [Test]
    public async Task The_end_of_a_run_removes_what_killed_attempts_left_of_it()
    {
        var destination = Open(new FormatOptions { Compression = Compression.None });
        var killed = await destination.OpenSliceAsync(Slice(5), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(killed, [.. Enumerable.Range(0, 30_000).Select(row => Noise(row, 300))]);

        await Open().FinishAsync(Manifest(await ExportAsync(Open(), Slice(0), "a")), CancellationToken.None);

        Assert.That(await HiddenAsync(), Is.Empty);
        await killed.DisposeAsync();
    }

    [Test]
    public async Task Other_intervals_and_other_exports_are_left_alone()
    {
        var destination = Open();
        var otherDay = await ExportAsync(destination, new SliceAddress(Export, IntervalOf(2), 1, 1, 1), "other day");
        var otherExport = await ExportAsync(destination, new SliceAddress(Export + "2", Day, 1, 1, 1), "other export");
        await destination.FinishAsync(Manifest(await ExportAsync(destination, Slice(0), "a")), CancellationToken.None);

        Assert.That(await VisibleAsync(), Does.Contain(otherDay.File).And.Contain(otherExport.File));
    }

    protected override async Task<IReadOnlyList<string>> SnapshotAsync()
    {
        var seen = new List<string>();
        foreach (var key in await VisibleAsync())
        {
            seen.Add($"{key} {SliceBytes.Sha256(await BytesAsync(key))}");
        }

        return seen;
    }

    private Task<CommittedSlice?> FindAsync(SliceAddress address, KeptProgress progress) =>
        Open().ResumeSliceAsync(address with { Progress = progress }, CancellationToken.None);

    private async Task<List<string>> ValuesAsync(SliceReceipt receipt) => await SliceRows.ReadAsync(new MemoryStream(await BytesAsync(receipt.File!)));
}

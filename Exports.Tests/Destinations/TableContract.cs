using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>
/// What every destination of tables promises, as <see cref="DestinationContract"/> says it of files. A destination's own fixture
/// says how to reach it, and adds what is its own.
/// </summary>
public abstract class TableContract : SliceContract
{
    /// <summary>A new instance at the same place, as a new process would make it.</summary>
    protected abstract IDestination Make();

    /// <summary>The texts of the rows that a reader sees in an export's table, sorted; none when there is no table.</summary>
    protected abstract Task<IReadOnlyList<string>> ValuesAsync(string name);

    /// <summary>What an export leaves besides its rows; empty after a check.</summary>
    protected abstract Task<IReadOnlyList<string>> LeftoversAsync();

    // The table itself, and what says which of its rows are whose.
    protected override bool KeepsWhatIsGivenUp => true;

    protected override IDestination Make(FormatOptions format) => Make();

    protected override Task<IReadOnlyList<string>> VisibleAsync() => ValuesAsync(Export);

    protected override Task<IReadOnlyList<string>> HiddenAsync() => LeftoversAsync();

    [Test]
    public async Task Rows_of_a_slice_appear_with_its_commit_and_not_before()
    {
        await using var sink = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(sink, "a", "b");
        Assert.That(await ValuesAsync(Export), Is.Empty);

        var receipt = await sink.CommitAsync(CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "a", "b" }));
        Assert.That((receipt.Slice, receipt.Rows, receipt.File), Is.EqualTo((0, 2L, (string?)null)));
        Assert.That(receipt.Bytes, Is.GreaterThan(2));
    }

    [Test]
    public async Task Many_rows_of_a_slice_come_back_one_by_one()
    {
        var rows = Enumerable.Range(0, 12_000).Select(row => $"{row:D8}{Noise(row, 400)}").ToArray();
        await using var sink = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        foreach (var batch in rows.Chunk(997))
        {
            await WriteAsync(sink, batch);
        }

        await sink.CommitAsync(CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.EqualTo(rows));
    }

    [Test]
    public async Task Committed_twice_its_rows_are_there_once()
    {
        await ExportAsync(Open(), Slice(0, attempt: 1, token: 1), "first");
        await ExportAsync(Open(), Slice(0, attempt: 1, token: 2), "again");

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "again" }));
    }

    [Test]
    public async Task Killed_before_its_commit_a_slice_is_invisible_and_its_next_attempt_complete()
    {
        // Never disposed of before the next attempt is through: as a frozen process leaves it.
        var killed = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(killed, [.. Enumerable.Range(0, 10_000).Select(row => Noise(row, 300))]);
        Assert.That(await ValuesAsync(Export), Is.Empty);

        await ExportAsync(Open(), Slice(0, attempt: 1, token: 2), "whole");
        await killed.DisposeAsync();

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "whole" }));
    }

    [Test]
    public async Task A_frozen_attempt_that_comes_back_in_mid_copy_is_refused()
    {
        var frozen = await Open().OpenSliceAsync(Slice(0, token: 1), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(frozen, "frozen");
        await ExportAsync(Open(), Slice(0, token: 2), "next");

        await WriteAsync(frozen, "more");
        var error = await Assert.CatchAsync(() => frozen.CommitAsync(CancellationToken.None));
        Assert.That(Open().Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        await frozen.DisposeAsync();

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "next" }));
    }

    [Test]
    public async Task A_frozen_attempt_that_comes_back_before_the_next_one_has_committed_is_refused_too()
    {
        var frozen = await Open().OpenSliceAsync(Slice(0, token: 1), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(frozen, "frozen");
        await using var next = await Open().OpenSliceAsync(Slice(0, token: 2), SliceRows.Schema, CancellationToken.None);
        Assert.That(async () => await frozen.CommitAsync(CancellationToken.None), Throws.Exception);
        await frozen.DisposeAsync();
        await WriteAsync(next, "next");
        await next.CommitAsync(CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "next" }));
    }

    [Test]
    public async Task An_attempt_that_is_older_than_one_that_opened_the_slice_cannot_open_it()
    {
        await using var newer = await Open().OpenSliceAsync(Slice(0, attempt: 1, token: 7), SliceRows.Schema, CancellationToken.None);

        var error = await Assert.CatchAsync(() => Open().OpenSliceAsync(Slice(0, attempt: 9, token: 6), SliceRows.Schema, CancellationToken.None));
        Assert.That(Open().Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    [Test]
    public async Task What_a_step_has_committed_its_next_attempt_finds_and_does_not_copy_again()
    {
        Assert.That(await Open().ResumeSliceAsync(Slice(0, step: "run/4"), CancellationToken.None), Is.Null);
        SliceReceipt receipt;
        await using (var sink = await Open().OpenSliceAsync(Slice(0, step: "run/4"), SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, "a", "b");
            sink.Note("a note");
            receipt = await sink.CommitAsync(CancellationToken.None);
        }

        var found = await Open().ResumeSliceAsync(Slice(0, attempt: 2, step: "run/4"), CancellationToken.None);
        Assert.That((found?.Receipt, found?.Note), Is.EqualTo((receipt, "a note")));
        Assert.That(found!.By, Is.Null.Or.EqualTo((1L, 1)));
        Assert.That(await Open().ResumeSliceAsync(Slice(0, step: "other/4"), CancellationToken.None), Is.Null, "of another run it is another slice");
        Assert.That(await Open().ResumeSliceAsync(Slice(1, step: "run/5"), CancellationToken.None), Is.Null);
    }

    [Test]
    public async Task Given_up_before_its_commit_a_slice_leaves_no_row()
    {
        await using (var sink = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, [.. Enumerable.Range(0, 10_000).Select(row => Noise(row, 300))]);
        }

        Assert.That(await ValuesAsync(Export), Is.Empty);
    }

    [Test]
    public async Task Slices_side_by_side_do_not_touch_each_other()
    {
        var destination = Open();
        var receipts = await Task.WhenAll(Enumerable.Range(0, 8).Select(slice => ExportAsync(destination, Slice(slice), $"row of {slice}")));

        Assert.That(receipts.Select(receipt => receipt.Rows), Is.All.EqualTo(1));
        Assert.That(await ValuesAsync(Export), Is.EqualTo(Enumerable.Range(0, 8).Select(slice => $"row of {slice}")));
    }

    [Test]
    public async Task A_slice_that_became_empty_replaces_its_rows_by_none()
    {
        await ExportAsync(Open(), Slice(0, token: 1), "row");
        var receipt = await ExportAsync(Open(), Slice(0, token: 2));

        Assert.That(receipt.Rows, Is.Zero);
        Assert.That(await ValuesAsync(Export), Is.Empty);
    }

    [Test]
    public async Task A_slice_that_is_thrown_away_leaves_no_row_and_no_commit_to_find()
    {
        await ExportAsync(Open(), Slice(0, step: "run/4"), "row");
        await Open().DiscardSliceAsync(Slice(0, attempt: 2, step: "run/4"), CancellationToken.None);
        await Open().DiscardSliceAsync(Slice(7, step: "run/5"), CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.Empty);
        Assert.That((await Open().ResumeSliceAsync(Slice(0, attempt: 3, step: "run/4"), CancellationToken.None))?.Note, Is.Null);
    }

    [Test]
    public async Task A_run_does_not_end_well_when_a_slice_is_not_there()
    {
        var receipt = await ExportAsync(Open(), Slice(0), "a");
        Assert.That(
            () => Open().FinishAsync(Manifest(receipt, receipt with { Slice = 1 }), CancellationToken.None),
            Throws.TypeOf<UserErrorException>().With.Message.Contains("Slice 1 "));
    }

    [Test]
    public async Task Exported_again_with_fewer_slices_no_row_of_the_earlier_export_stays()
    {
        var first = Open();
        await first.FinishAsync(
            Manifest(await ExportAsync(first, Slice(0), "a"), await ExportAsync(first, Slice(1), "b"), await ExportAsync(first, Slice(2), "c")),
            CancellationToken.None);
        await (await first.OpenSliceAsync(Slice(9), SliceRows.Schema, CancellationToken.None)).DisposeAsync();

        var second = Open();
        await second.FinishAsync(Manifest(await ExportAsync(second, Slice(0, token: 2), "a", "b", "c")), CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "a", "b", "c" }));
    }

    [Test]
    public async Task A_frozen_slice_that_the_run_ended_without_is_refused()
    {
        var frozen = await Open().OpenSliceAsync(Slice(5), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(frozen, "frozen");
        await Open().FinishAsync(Manifest(await ExportAsync(Open(), Slice(0, token: 2), "a")), CancellationToken.None);

        Assert.That(async () => await frozen.CommitAsync(CancellationToken.None), Throws.Exception);
        await frozen.DisposeAsync();
        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task Other_intervals_and_other_exports_are_left_alone()
    {
        var destination = Open();
        await ExportAsync(destination, new SliceAddress(Export, IntervalOf(2), 1, 1, 1), "other day");
        await ExportAsync(destination, new SliceAddress(Export + "2", Day, 1, 1, 1), "other export");
        await destination.FinishAsync(Manifest(await ExportAsync(destination, Slice(0), "a")), CancellationToken.None);

        Assert.That(await ValuesAsync(Export), Is.EqualTo(new[] { "a", "other day" }));
        Assert.That(await ValuesAsync(Export + "2"), Is.EqualTo(new[] { "other export" }));
    }
}

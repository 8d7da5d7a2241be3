using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class FilesTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private string _root = "";
    private FilesDestination _destination = null!;

    [SetUp]
    public void Make()
    {
        _root = Directory.CreateTempSubdirectory("exporter-files-").FullName;
        _destination = new FilesDestination(new FilesOptions { Root = _root, Prefix = "p" }, new FormatOptions());
    }

    [TearDown]
    public async Task RemoveAsync()
    {
        await _destination.DisposeAsync();
        Directory.Delete(_root, recursive: true);
    }

    [Test]
    public async Task A_frozen_attempt_that_comes_back_finds_nothing_to_commit()
    {
        await using var frozen = await OpenAsync(attempt: 1, token: 1);
        await WriteAsync(frozen, "frozen");
        await using (var next = await OpenAsync(attempt: 2, token: 2))
        {
            await WriteAsync(next, "next");
            var receipt = await next.CommitAsync(CancellationToken.None);

            Assert.That(() => frozen.CommitAsync(CancellationToken.None), Throws.InstanceOf<IOException>());
            Assert.That(await SliceBytes.Sha256Async(Path.Combine(_root, receipt.File!)), Is.EqualTo(receipt.Sha256));
        }
    }

    [Test]
    public async Task A_frozen_attempt_that_saw_no_rows_removes_nothing_when_it_comes_back()
    {
        await using var zombie = new FilesDestination(new FilesOptions { Root = _root, Prefix = "p" }, new FormatOptions());
        await using var frozen = await zombie.OpenSliceAsync(Address(attempt: 1, token: 1), SliceRows.Schema, CancellationToken.None);
        await using var next = await OpenAsync(attempt: 2, token: 2);
        await WriteAsync(next, "next");
        await next.CommitAsync(CancellationToken.None);
        await File.WriteAllTextAsync(Path.Combine(Path.GetDirectoryName(Directory.GetFiles(_root, "slice-*", SearchOption.AllDirectories).Single())!, "manifest.json"), "{}");
        var before = Directory.GetFiles(_root, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ToList();

        Assert.That(() => frozen.CommitAsync(CancellationToken.None), Throws.InstanceOf<IOException>());
        Assert.That(before, Has.Count.EqualTo(2), "the slice and the manifest");
        Assert.That(Directory.GetFiles(_root, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal), Is.EqualTo(before));
    }

    [Test]
    public async Task Two_runs_of_one_interval_at_once_never_mix_their_rows()
    {
        await using var one = await OpenAsync(attempt: 1, token: 1);
        await using var other = await OpenAsync(attempt: 1, token: 1);
        await WriteAsync(one, "one");
        await WriteAsync(other, "other");
        await other.CommitAsync(CancellationToken.None);
        var last = await one.CommitAsync(CancellationToken.None);

        await using var file = File.OpenRead(Path.Combine(_root, last.File!));
        Assert.That(await SliceRows.ReadAsync(file), Is.EqualTo(new[] { "one" }));
    }

    [Test]
    public async Task An_older_attempt_leaves_the_file_of_a_newer_one_alone()
    {
        await using var newer = await OpenAsync(attempt: 1, token: 7);
        await WriteAsync(newer, "newer");
        await using var older = await OpenAsync(attempt: 9, token: 6);
        await newer.CommitAsync(CancellationToken.None);

        Assert.That(Directory.GetFiles(_root, "slice-*", SearchOption.AllDirectories), Has.Length.EqualTo(1));
    }

    [TestCase("exports")]
    [TestCase("")]
    [TestCase("../exports")]
    public void A_root_that_is_no_absolute_path_is_refused_by_name(string root) => Assert.That(
        () => DestinationKinds.Open(Configured(root), new FormatOptions()),
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("root"));

    [Test]
    public void A_root_that_is_not_there_is_named_and_not_made()
    {
        var missing = Path.Combine(_root, "missing");
        var destination = DestinationKinds.Open(Configured(missing), new FormatOptions());

        Assert.That(
            () => destination.OpenSliceAsync(Address(1, 1), SliceRows.Schema, CancellationToken.None),
            Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("root"));
        Assert.That(Directory.Exists(missing), Is.False);
    }

    [Test]
    public async Task A_folder_that_vanishes_half_way_is_named_and_not_made_again()
    {
        await using var sink = await OpenAsync(1, 1);
        await WriteAsync(sink, "row");
        Directory.Delete(_root, recursive: true);
        try
        {
            Assert.That(() => sink.CommitAsync(CancellationToken.None), Throws.InstanceOf<IOException>());
            var next = await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync(2, 2));
            Assert.That((next!.Setting, Directory.Exists(_root)), Is.EqualTo(("root", false)));
        }
        finally
        {
            Directory.CreateDirectory(_root);
        }
    }

    [Test]
    [Platform("Linux")]
    public async Task Where_a_mount_is_asked_for_nothing_is_written_beside_it()
    {
        var shared = Directory.CreateDirectory($"/dev/shm/exporter-{Guid.NewGuid():N}").FullName;
        try
        {
            await using var mounted = new FilesDestination(new FilesOptions { Root = shared, Mounted = true }, new FormatOptions());
            Assert.That(await mounted.CheckAsync(CancellationToken.None).ToListAsync(), Has.All.Property(nameof(CheckResult.Ok)).True);
        }
        finally
        {
            Directory.Delete(shared, recursive: true);
        }

        // Nothing is mounted below /usr, and no test makes a folder there.
        await using var bare = new FilesDestination(new FilesOptions { Root = "/usr/share", Mounted = true }, new FormatOptions());
        var last = (await bare.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        Assert.That((last.Step, last.Detail), Is.EqualTo(
            ("connect", "Nothing is mounted at /usr/share. Setting: root. Mount it on every machine that a worker runs on; then the run goes on from its last slice.")));
    }

    [TestCase(116, "The mounted folder is gone.")]
    [TestCase(107, "The mounted folder is gone.")]
    [TestCase(30, "The file system is read-only.")]
    [TestCase(122, "The disk quota is used up.")]
    public void What_the_file_system_says_names_the_root(int code, string problem) =>
        Assert.That(_destination.Classify(new IOException("It failed", code)), Is.EqualTo(new ExportError(ErrorKind.User, $"{problem} It failed.", "root", _destination.Classify(new IOException("It failed", code))!.Advice)));

    // /dev/full fails every write as a full disk does, for every user.
    [Test]
    [Platform("Linux")]
    public async Task A_full_disk_is_the_users_to_mend_and_names_the_root()
    {
        var full = true;
        await using var destination = new FilesDestination(
            new FilesOptions { Root = _root, Prefix = "p" },
            new FormatOptions(),
            path => full ? new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0) : FileFolder.Open(path));
        await using (var sink = await destination.OpenSliceAsync(Address(1, 1), SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, "row");
            var error = await Assert.ThrowsAsync<IOException>(() => sink.CommitAsync(CancellationToken.None));
            Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("root"));
            Assert.That(destination.Classify(error!)!.Message, Does.StartWith("The disk is full."));
        }

        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        Assert.That((last.Step, last.Ok), Is.EqualTo(("write", false)));
        Assert.That(last.Detail, Does.StartWith("The disk is full.").And.Contains("Setting: root. Free some space there"));

        full = false;
        await using var again = await destination.OpenSliceAsync(Address(2, 1), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(again, "row");
        Assert.That((await again.CommitAsync(CancellationToken.None)).Rows, Is.EqualTo(1));
    }

    [Test]
    [Platform("Linux")]
    public async Task A_place_that_cannot_be_written_to_is_the_users_to_mend_and_names_the_root()
    {
        // No file can be made in /sys, whoever asks.
        var destination = new FilesDestination(new FilesOptions { Root = "/sys" }, new FormatOptions());
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain("Setting: root."));
    }

    [Test]
    public async Task A_file_that_vanished_after_its_commit_is_not_listed_as_if_it_were_there()
    {
        await using var sink = await OpenAsync(1, 1);
        await WriteAsync(sink, "row");
        var receipt = await sink.CommitAsync(CancellationToken.None);
        File.Delete(Path.Combine(_root, receipt.File!));

        var manifest = new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] };
        Assert.That(
            () => _destination.FinishAsync(manifest, CancellationToken.None),
            Throws.TypeOf<UserErrorException>().With.Message.Contains("is gone"));
        Assert.That(Directory.GetFiles(_root, "manifest.json", SearchOption.AllDirectories), Is.Empty);
    }

    [Test]
    public async Task Files_of_others_in_the_folder_stay()
    {
        await using var sink = await OpenAsync(1, 1);
        await WriteAsync(sink, "row");
        var receipt = await sink.CommitAsync(CancellationToken.None);
        var note = Path.Combine(_root, Path.GetDirectoryName(receipt.File!)!, "slice-notes.txt");
        await File.WriteAllTextAsync(note, "mine");

        await _destination.FinishAsync(
            new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, CancellationToken.None);

        Assert.That(File.Exists(note));
    }

    private static Destination Configured(string root) => new() { Name = "d", Kind = "files", Settings = new() { ["root"] = root } };

    private static SliceAddress Address(int attempt, long token) => new("events", Day, 0, attempt, token);

    private static async Task WriteAsync(ISliceSink sink, string value)
    {
        using var batch = SliceRows.Batch(value);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    private Task<ISliceSink> OpenAsync(int attempt, long token) =>
        _destination.OpenSliceAsync(Address(attempt, token), SliceRows.Schema, CancellationToken.None);
}

using System.Runtime.CompilerServices;
using Exporter.Engine.Tests.Examples;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Destinations;
using Npgsql;

namespace Exporter.Exports.Tests.Examples;

/// <summary>The example of docs/destinations/writing-your-own.md keeps what every destination promises.</summary>
public sealed class NotesTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private string _connection = "";
    private NotesDestination _destination = null!;

    [SetUp]
    public async Task MakeAsync()
    {
        _connection = await TestServers.NewPostgresAsync();
        _destination = Open(_connection);
    }

    [TearDown]
    public async Task EndAsync() => await _destination.DisposeAsync();

    [Test]
    public Task The_document_shows_the_code_that_is_tested() =>
        ShownCode.CheckAsync(Path.Combine(Folder(), "../../docs/destinations/writing-your-own.md"), Folder());

    [Test]
    public async Task A_check_passes_step_by_step_and_leaves_nothing_behind()
    {
        var results = await _destination.CheckAsync(CancellationToken.None).ToListAsync();
        Assert.That(results, Has.Count.EqualTo(5));
        Assert.That(results, Has.All.Property(nameof(CheckResult.Ok)).True);
        Assert.That(await RowsAsync(), Is.Empty);
    }

    [Test]
    public async Task A_slice_appears_with_its_commit_and_a_repeat_replaces_it()
    {
        await using (var killed = await OpenAsync(slice: 0, token: 1))
        {
            await WriteAsync(killed, "never committed");
        }

        Assert.That(await RowsAsync(), Is.Empty);
        await ExportAsync(slice: 0, token: 1, "a", "b");
        await ExportAsync(slice: 1, token: 1, "c");
        await ExportAsync(slice: 0, token: 2, "a", "b");
        Assert.That(await RowsAsync(), Is.EqualTo(new[] { "0 a", "0 b", "1 c" }));
    }

    [Test]
    public async Task A_zombie_changes_nothing()
    {
        await using var zombie = await OpenAsync(slice: 0, token: 1);
        await WriteAsync(zombie, "late");
        await ExportAsync(slice: 0, token: 2, "a");

        var error = await Assert.ThrowsAsync<NewerAttemptException>(() => zombie.CommitAsync(CancellationToken.None));
        Assert.That(_destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await RowsAsync(), Is.EqualTo(new[] { "0 a" }));
    }

    [Test]
    public async Task Exported_again_with_fewer_slices_no_stale_row_stays()
    {
        await ExportAsync(slice: 0, token: 1, "a");
        await ExportAsync(slice: 1, token: 1, "b");
        var receipt = await ExportAsync(slice: 0, token: 2, "a");
        await _destination.FinishAsync(new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, CancellationToken.None);

        Assert.That(await RowsAsync(), Is.EqualTo(new[] { "0 a" }));
    }

    [Test]
    public async Task A_wrong_database_names_the_setting()
    {
        await using var wrong = Open(new NpgsqlConnectionStringBuilder(_connection) { Database = "nowhere" }.ConnectionString);
        var last = (await wrong.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain("Setting: connection_string."));
    }

    [Test]
    public void A_setting_out_of_range_is_refused_by_name() => Assert.That(
        () => new NotesOptions { ConnectionString = _connection, TimeoutSeconds = 0 }.Validate(),
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("timeout_seconds"));

    private static string Folder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;

    private static NotesDestination Open(string connection)
    {
        var configured = new Destination
        {
            Name = "notes", Kind = "notes", Secrets = new Dictionary<string, string> { ["connection_string"] = connection },
        };
        NotesOptions.Kind.Check(configured);
        return (NotesDestination)NotesOptions.Kind.Open(configured, new FormatOptions());
    }

    private static async Task WriteAsync(ISliceSink sink, params string[] values)
    {
        using var batch = SliceRows.Batch(values);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    private Task<ISliceSink> OpenAsync(int slice, long token) =>
        _destination.OpenSliceAsync(new SliceAddress("events", Day, slice, 1, token), SliceRows.Schema, CancellationToken.None);

    private async Task<SliceReceipt> ExportAsync(int slice, long token, params string[] values)
    {
        await using var sink = await OpenAsync(slice, token);
        await WriteAsync(sink, values);
        return await sink.CommitAsync(CancellationToken.None);
    }

    private async Task<List<string>> RowsAsync()
    {
        await using var data = NpgsqlDataSource.Create(_connection);
        await using var command = data.CreateCommand("select slice || ' ' || (row ->> 'value') from notes order by 1");
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync())
        {
            rows.Add(reader.GetString(0));
        }

        return rows;
    }
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Rows that a destination cannot hold, in whole runs: never dropped, never hidden.</summary>
public sealed class BadRowTests
{
    private const int Rows = 4000;
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _fixture = await RunFixture.NewAsync();
        // Every thousandth row: a zero byte, half a character, a number that no bigint holds, and JSON that is too deep.
        await _fixture.FillAsync(
            "ts DateTime64(6, 'UTC'), id UInt64, n UInt64, text String, more Array(String), json String",
            $$"""
            SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 20000), number,
              if(number % 1000 = 3, 18446744073709551615, number), multiIf(number % 1000 = 1, 'a\0b', number % 1000 = 2, unhex('61C3'), 'ok'), ['x', 'y'],
              if(number % 1000 = 4, '[[[[1]]]]', '{"a": 1}') FROM numbers({{Rows}})
            """);
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    [Test]
    public async Task A_run_fails_at_a_bad_row_unless_told_otherwise_and_says_where()
    {
        await _fixture.StartAsync();
        var run = await _fixture.RunAsync(Export(BadRowPolicy.Fail) with { Format = new FormatOptions { Format = FileFormat.JsonLines } });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("column text").And.Contain("no UTF-8").And.Contain("Setting: bad_rows"));
        // Found at the source by what the error names.
        var hash = run.Error![(run.Error.IndexOf("hash ", StringComparison.Ordinal) + 5)..].Split(')')[0];
        Assert.That(await _fixture.Server.ExecuteAsync($"SELECT id % 1000 FROM {_fixture.Table} WHERE cityHash64(tuple(id)) = {hash}"), Is.EqualTo("2"));
    }

    [Test]
    public async Task Bad_rows_are_put_aside_encrypted_and_everything_else_is_exported()
    {
        await _fixture.StartAsync(Limits);
        var run = await _fixture.RunAsync(Export(BadRowPolicy.Quarantine));
        Assert.That((run.State, run.ExportedRows, run.QuarantinedRows, run.LateRows), Is.EqualTo(("completed", 3984L, 16L, (long?)0)), run.Error);
        await _fixture.ExpectProofAsync(run);
        Assert.That((await _fixture.CompareAsync("count(), countIf(id % 1000 IN (1, 2, 3, 4))")).Files, Is.EqualTo("3984\t0"));
        Assert.That(await _fixture.Database.ScalarAsync<string>("select rows || '+' || quarantined_rows from exports.coverage"), Is.EqualTo("3984+16"));

        var store = new QuarantineStore(_fixture.Database.Data, _fixture.Database.Codec);
        var bad = await _fixture.Database.Runs.BadRowsAsync(run.RunId, 100);
        Assert.That(bad.GroupBy(row => (row.ColumnName, row.Reason)).ToDictionary(group => group.Key, group => group.Count()), Is.EquivalentTo(new Dictionary<(string, string), int>
        {
            [("text", "zero_byte")] = 4, [("text", "invalid_text")] = 4, [("n", "out_of_range")] = 4, [("json", "json_too_deep")] = 4,
        }));
        var rows = await store.RowsAsync(run.RunId, 100);
        Assert.That(rows.Select(row => (long)row["id"]! % 1000), Is.EquivalentTo(Enumerable.Repeat(new[] { 1L, 2, 3, 4 }, 4).SelectMany(id => id)));
        Assert.That((string?)rows.First(row => (long)row["id"]! == 1002)["text"]!["base64"], Is.EqualTo(Convert.ToBase64String([0x61, 0xC3])), "with its very bytes");
        Assert.That((ulong)rows.First(row => (long)row["id"]! == 3)["n"]!, Is.EqualTo(ulong.MaxValue));
        Assert.That(
            await _fixture.Server.ExecuteAsync($"SELECT count() FROM {_fixture.Table} WHERE cityHash64(tuple(id)) IN ({string.Join(',', bad.Select(row => row.KeyHash))}) AND id % 1000 IN (1, 2, 3, 4)"),
            Is.EqualTo("16"), "the hashes find them at the source");
        Assert.That(
            await _fixture.Database.ScalarAsync<long>("select count(*) from exports.quarantined_row where position('[[[['::bytea in row) > 0 or position('\"id\"'::bytea in row) > 0"),
            Is.Zero, "nothing can be read in the table");
    }

    [Test]
    public async Task Mended_rows_are_sent_on_request_and_the_rest_stays_aside()
    {
        await _fixture.StartAsync(Limits);
        var run = await _fixture.RunAsync(Export(BadRowPolicy.Quarantine));
        await _fixture.Server.ExecuteAsync($"ALTER TABLE {_fixture.Table} UPDATE text = 'mended' WHERE id % 1000 IN (1, 2) SETTINGS mutations_sync = 1");
        var look = await _fixture.VerifyAsync(run.RunId, VerificationKind.Resend);
        Assert.That(look.Outcome, Is.EqualTo("exported_again"), look.Error);
        run = await _fixture.Database.Runs.GetAsync(run.RunId);
        Assert.That((run.State, run.ExportedRows, run.QuarantinedRows), Is.EqualTo(("completed", 3992L, 8L)));
        await _fixture.ExpectProofAsync(run);
        Assert.That((await _fixture.CompareAsync("count(), uniqExact(id), countIf(text = 'mended')")).Files, Is.EqualTo("3992\t3992\t8"));
        Assert.That(
            await _fixture.Database.ScalarAsync<string>("select string_agg(distinct reason, ',' order by reason) from exports.bad_rows"), Is.EqualTo("json_too_deep,out_of_range"));
        Assert.That(await _fixture.Database.ScalarAsync<string>("select rows || '+' || quarantined_rows from exports.coverage"), Is.EqualTo("3992+8"));
    }

    [TestCase(FileFormat.Parquet)]
    [TestCase(FileFormat.JsonLines)]
    public async Task Bad_values_become_null_and_are_counted(FileFormat format)
    {
        await _fixture.StartAsync(Limits);
        var run = await _fixture.RunAsync(Export(BadRowPolicy.Null) with { Format = new FormatOptions { Format = format } });
        Assert.That((run.State, run.ExportedRows, run.QuarantinedRows, run.NulledValues), Is.EqualTo(("completed", (long)Rows, 0L, 16L)), run.Error);
        await _fixture.ExpectProofAsync(run);
        var (files, kind) = format == FileFormat.Parquet ? ("**/*.parquet", "Parquet") : ("**/*.jsonl.zst", "JSONEachRow");
        Assert.That(
            await _fixture.Server.ExecuteAsync(
                $"""
                SELECT count(), countIf(text IS NULL AND id % 1000 IN (1, 2)), countIf(n IS NULL AND id % 1000 = 3), countIf(json IS NULL AND id % 1000 = 4),
                  countIf(text IS NULL OR n IS NULL OR json IS NULL), sum(id)
                FROM file('{_fixture.Folder}/{files}', '{kind}', 'id UInt64, n Nullable(UInt64), text Nullable(String), json Nullable(String)')
                """),
            Is.EqualTo($"{Rows}\t8\t4\t4\t16\t{(long)Rows * (Rows - 1) / 2}"));
    }

    [Test]
    public async Task More_bad_rows_than_allowed_fail_the_run()
    {
        await _fixture.StartAsync(Limits);
        var export = Export(BadRowPolicy.Quarantine);
        var run = await _fixture.RunAsync(export with { Settings = export.Settings with { MaxBadRows = 2, TargetSliceBytes = 1 << 30 } });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("Setting: max_bad_rows").And.Contain("more than 2 rows"));
    }

    [Test]
    public async Task A_key_never_becomes_null()
    {
        await _fixture.StartAsync(Limits);
        var export = Export(BadRowPolicy.Null);
        var run = await _fixture.RunAsync(export with { Model = export.Model with { KeyColumns = ["n"] } });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("key column n").And.Contain("Setting: bad_rows"));
    }

    private static ColumnLimit? Limits(Apache.Arrow.Field field) => field.Name switch
    {
        "text" => new ColumnLimit { ZeroBytes = false, Utf8 = true, MaxBytes = 100 },
        "more" => new ColumnLimit { ZeroBytes = false, Utf8 = true },
        "n" => new ColumnLimit { Whole = (long.MinValue, long.MaxValue) },
        "json" => new ColumnLimit { Json = new JsonLimit { MaxDepth = 3, ZeroBytes = false, UnpairedSurrogates = false } },
        _ => null,
    };

    private static BatchExport Export(BadRowPolicy policy)
    {
        var export = RunFixture.Export();
        return export with { Settings = export.Settings with { BadRows = policy, TargetSliceBytes = 100_000 } };
    }
}

using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class SliceKeysTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly SliceKeys Keys = new("prefix", "team/exports/", ".parquet");

    [Test]
    public void A_slice_lies_below_prefix_export_and_interval() => Assert.That(
        Keys.Slice(new SliceAddress("events", Day, 7, Attempt: 3, FencingToken: 9)),
        Is.EqualTo("team/exports/events/20260101T000000Z-20260102T000000Z/slice-00007.parquet"));

    [TestCase("", "ev/20260101T000000Z-20260102T000000Z/")]
    [TestCase("lake/{table}", "lake/db.events/ev/20260101T000000Z-20260102T000000Z/")]
    [TestCase("{export}/date={year}-{month}-{day}/hour={hour}", "ev/date=2026-01-01/hour=00/20260101T000000Z-20260102T000000Z/")]
    [TestCase("a/{interval_start}_{interval_end}/{export}", "a/20260101T000000Z_20260102T000000Z/ev/")]
    [TestCase("a-{export}/interval={interval}", "a-ev/interval=20260101T000000Z-20260102T000000Z/")]
    public void A_prefix_may_have_places_and_each_interval_of_each_export_keeps_a_folder_of_its_own(string prefix, string folder) =>
        Assert.That(new SliceKeys("prefix", prefix, ".parquet").Folder("ev", Day, "db.events"), Is.EqualTo(folder));

    [TestCase("", "")]
    [TestCase("lake/{table}", "lake/")]
    [TestCase("lake/x{year}", "lake/")]
    [TestCase("a/b", "a/b/")]
    public void What_all_keys_have_in_common_ends_at_the_first_place(string prefix, string start) =>
        Assert.That(new SliceKeys("prefix", prefix, ".parquet").Start, Is.EqualTo(start));

    [TestCase("{unknown}")]
    [TestCase("{year")]
    [TestCase("a}")]
    public void A_place_that_is_not_known_is_refused_by_name(string prefix) => Assert.That(
        () => new SliceKeys("prefix", prefix, ".parquet"), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("prefix"));

    [TestCase("..")]
    [TestCase(".")]
    [TestCase("")]
    [TestCase("../../etc/passwd")]
    [TestCase("/etc/passwd")]
    [TestCase("a/../../b")]
    [TestCase("..\\..\\windows")]
    [TestCase("a\0b\nc")]
    [TestCase("événements 東京")]
    public void A_hostile_name_stays_in_one_folder_of_its_own(string export)
    {
        var folder = Keys.Folder(export, Day);
        var name = folder["team/exports/".Length..folder.IndexOf("/2026", StringComparison.Ordinal)];

        Assert.That(name, Does.Match("^[A-Za-z0-9!_-][A-Za-z0-9!._-]*$"));
        Assert.That(Path.GetFullPath("/root/" + folder), Does.StartWith("/root/team/exports/" + name + "/"));
    }

    [Test]
    public void Two_names_never_share_a_folder() => Gen.Select(Gen.String, Gen.String).Sample(
        (one, other) => Assert.That(Keys.Folder(one, Day) == Keys.Folder(other, Day), Is.EqualTo(Bytes(one).SequenceEqual(Bytes(other)))));

    [Test]
    public void A_name_of_any_length_makes_a_short_folder()
    {
        var longest = Keys.Folder(new string('x', 5_000), Day);
        Assert.That(longest, Has.Length.LessThan(255));
        Assert.That(longest, Is.Not.EqualTo(Keys.Folder(new string('x', 5_001), Day)));
    }

    [TestCase("a//b")]
    [TestCase("../up")]
    [TestCase("a/./b")]
    [TestCase("a\\b")]
    [TestCase("a\nb")]
    public void A_prefix_that_leads_elsewhere_is_refused_by_its_setting(string prefix) => Assert.That(
        () => new SliceKeys("prefix", prefix, ".parquet"),
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("prefix"));

    [TestCase("slice-00000.parquet", true)]
    [TestCase("slice-00012.jsonl.gz", true)]
    [TestCase("slice-.parquet", false)]
    [TestCase("slice-0a.parquet", false)]
    [TestCase("slice-notes.txt", false)]
    [TestCase("manifest.json", false)]
    [TestCase("notes.txt", false)]
    public void Only_files_of_slices_count_as_ours(string name, bool ours) => Assert.That(SliceKeys.IsSliceName(name), Is.EqualTo(ours));

    private static byte[] Bytes(string text) => System.Text.Encoding.UTF8.GetBytes(text);
}

using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Redshift;
using Exporter.Exports.Tests.Doubles;
using Npgsql;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What needs no look at the server: settings out of range, and Redshift's words for what went wrong.</summary>
public sealed class RedshiftSettingTests
{
    private RedshiftServer _server = null!;

    [OneTimeSetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    // Redshift's words, as its documentation and its users quote them.
    [TestCase("XX000", "1023", "Serializable isolation violation on table - 1256109, transactions forming the cycle are: 647671, 647682 (pid:23880)", ErrorKind.Transient, null)]
    [TestCase("XX000", "1018", "Relation does not exist.", ErrorKind.Transient, null)]
    [TestCase("57014", "Query (8473) cancelled on user's request", "", ErrorKind.Transient, null)]
    [TestCase("XX000", "Query (8473) cancelled by WLM abort action of Query Monitoring Rule \"long\".", "", ErrorKind.Transient, null)]
    [TestCase("57P01", "terminating connection due to administrator command", "", ErrorKind.Transient, null)]
    [TestCase("57P03", "the cluster is paused", "", ErrorKind.Transient, null)]
    [TestCase("40P01", "deadlock detected", "", ErrorKind.Transient, null)]
    [TestCase("42P01", "relation \"events\" does not exist", "", ErrorKind.Transient, null)]
    [TestCase("XX000", "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown", "", ErrorKind.Transient, null)]
    [TestCase("XX000", "Problem reading manifest file - S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey", "", ErrorKind.Transient, null)]
    [TestCase("53300", "too many connections", "", ErrorKind.Throttled, null)]
    [TestCase("XX000", "Disk Full", "error: Disk Full code: 1016", ErrorKind.User, "host")]
    [TestCase("XX000", "Query reached usage limit", "", ErrorKind.User, "host")]
    [TestCase("XX000", "Not authorized to get credentials of role arn:aws:iam::123456789012:role/x", "", ErrorKind.User, "iam_role")]
    [TestCase("XX000", "The requested role arn:aws:iam::1:role/x is not associated to cluster", "", ErrorKind.User, "iam_role")]
    [TestCase("XX000", "S3ServiceException:Access Denied,Status 403,Error AccessDenied", "", ErrorKind.User, "iam_role")]
    [TestCase("XX000", "S3ServiceException:The specified bucket does not exist,Status 404,Error NoSuchBucket", "", ErrorKind.User, "stage_bucket")]
    [TestCase("XX000", "S3ServiceException:The bucket you are attempting to access must be addressed using the specified endpoint.,Status 301,Error PermanentRedirect", "", ErrorKind.User, "stage_bucket")]
    [TestCase("XX000", "Spectrum Scan Error", "code: 15007 context: File 'https://s3.amazonaws.com/b/f.parquet' has an incompatible Parquet schema for column 's3://b/f.id'. Column type: INT, Parquet schema: optional int64 id", ErrorKind.User, "table")]
    [TestCase("22001", "value too long for type character varying(256)", "", ErrorKind.User, "columns")]
    [TestCase("XX000", "Value too long for character type", "error: Value too long for character type code: 8001", ErrorKind.User, "columns")]
    [TestCase("XX000", "Numeric data overflow (result precision)", "", ErrorKind.User, "columns")]
    [TestCase("22003", "integer out of range", "", ErrorKind.User, "columns")]
    [TestCase("42501", "permission denied for relation events", "", ErrorKind.User, "username")]
    [TestCase("28000", "no pg_hba.conf entry", "", ErrorKind.User, "username")]
    [TestCase("3F000", "schema \"x\" does not exist", "", ErrorKind.User, "schema")]
    [TestCase("23502", "Cannot insert a NULL value into column id", "", ErrorKind.User, "table")]
    [TestCase("54000", "Statement is too large", "", ErrorKind.User, "table")]
    [TestCase("XX000", "Assert", "code: 1000 context: Unreachable - Invalid type: 4000", ErrorKind.Transient, null)]
    [TestCase("42601", "syntax error at or near \"x\"", "", ErrorKind.Bug, null)]
    [TestCase("0A000", "ON CONFLICT not supported", "", ErrorKind.Bug, null)]
    public async Task Redshifts_errors_are_sorted_by_who_acts(string code, string message, string detail, ErrorKind kind, string? setting)
    {
        await using var destination = _server.Open();
        var error = RedshiftException.Of(new PostgresException(message, "ERROR", "ERROR", code, detail: detail), []);
        var sorted = destination.Classify(error)!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)), $"{sorted}");
        Assert.That(sorted.Advice, kind == ErrorKind.User ? Is.Not.Empty : Is.Null);
    }

    [TestCase("host", "x.redshift.amazonaws.com:5439/dev")]
    [TestCase("host", "")]
    [TestCase("port", 0)]
    [TestCase("load", "stream")]
    [TestCase("mode", "upsert")]
    [TestCase("key", "id")]
    [TestCase("ssl_mode", "yes")]
    [TestCase("timeout", 0)]
    [TestCase("schema", "")]
    [TestCase("table", "")]
    [TestCase("iam_role", "exports")]
    [TestCase("copy_access_key", "both")]
    [TestCase("provenance_column", "xmin")]
    [TestCase("stage_bucket", null)]
    [TestCase("stage_bucket", "x")]
    [TestCase("stage_part_size", 1)]
    public void A_setting_out_of_range_is_refused_by_name(string setting, object? value) => Assert.That(
        () => _server.Open((setting, value)), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(setting));

    [Test]
    public void Without_role_and_keys_nothing_says_how_Redshift_reads_the_bucket() => Assert.That(
        () => _server.Open(("iam_role", null), ("stage_access_key", null), ("stage_secret_key", null)), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("iam_role"));
}

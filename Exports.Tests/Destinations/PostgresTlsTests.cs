using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Exporter.Engine.Testing;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>A server that speaks TLS, with a certificate for <c>localhost</c> of an authority of its own, and asks for passwords.</summary>
public sealed class PostgresTlsTests
{
    private const string Password = "right-password";
    private string _folder = "";
    private LocalPostgres _server = null!;

    private string Authority => Path.Combine(_folder, "authority.pem");

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _folder = Directory.CreateTempSubdirectory("exporter-tls-").FullName;
        _server = await LocalPostgres.StartAsync();
        var (authority, certificate, key) = Certificates();
        await File.WriteAllTextAsync(Authority, authority);
        await using var data = NpgsqlDataSource.Create(_server.ConnectionString);

        // Written by the server, into its own folder and as its own user.
        await ExecuteAsync(data, Program(certificate, "cat > server.crt"));
        await ExecuteAsync(data, Program(key, "umask 077 && cat > server.key"));
        await ExecuteAsync(data, $"create role exporter login password '{Password}'");
        await ExecuteAsync(data, "grant all on schema public to exporter");
        await ExecuteAsync(data, Program("local all postgres trust\nhostssl all exporter all scram-sha-256\nhost all postgres all trust", "cat > pg_hba.conf"));
        await ExecuteAsync(data, "alter system set ssl = on");
        await ExecuteAsync(data, "select pg_reload_conf()");
        await Engine.Tests.Eventually.TrueAsync(async () => (await LastAsync("disable")).Contains("let", StringComparison.Ordinal), "it wants TLS now");
    }

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [TestCase("verify-full", "localhost")]
    [TestCase("verify-ca", "localhost")]
    [TestCase("verify-ca", "127.0.0.1")]
    public async Task A_certificate_of_the_given_authority_is_trusted(string mode, string host) =>
        Assert.That(await LastAsync(mode, host, Authority), Is.EqualTo("The table was dropped; nothing is left."));

    [TestCase("require")]
    [TestCase("prefer")]
    public async Task Without_verification_any_certificate_does(string mode) =>
        Assert.That(await LastAsync(mode), Is.EqualTo("The table was dropped; nothing is left."));

    [Test]
    public async Task A_certificate_for_another_name_is_not_trusted() =>
        Assert.That(await LastAsync("verify-full", "127.0.0.1", Authority), Does.Contain("No secure connection").And.Contain("Setting: root_certificate."));

    [TestCase("verify-full")]
    [TestCase("verify-ca")]
    public async Task A_certificate_of_an_unknown_authority_is_not_trusted(string mode) =>
        Assert.That(await LastAsync(mode), Does.Contain("No secure connection").And.Contain("Setting: root_certificate."));

    [Test]
    public async Task A_root_certificate_that_is_not_there_is_named() =>
        Assert.That(await LastAsync("verify-full", root: "/no/such/root.pem"), Does.Contain("Setting: root_certificate."));

    [Test]
    public async Task A_server_that_asks_for_TLS_says_so() =>
        Assert.That(await LastAsync("disable"), Does.Contain("does not let exporter in").And.Contain("use TLS"));

    [TestCase("wrong-password", "refuses the password of exporter")]
    [TestCase(null, "asks for a password")]
    public async Task A_password_that_is_wrong_or_missing_is_named_and_not_shown(string? password, string sentence)
    {
        var detail = await LastAsync("verify-full", "localhost", Authority, password);
        Assert.That(detail, Does.Contain(sentence).And.Contain("Setting: password.").And.Not.Contain("wrong-password"));
    }

    private async Task<string> LastAsync(string mode, string host = "localhost", string? root = null, string? password = Password)
    {
        var destination = new Destination
        {
            Name = "postgres",
            Kind = "postgres",
            Settings = new()
            {
                ["host"] = host, ["port"] = _server.Port, ["database"] = "postgres", ["username"] = "exporter", ["ssl_mode"] = mode,
            },
            Secrets = password is null ? [] : new Dictionary<string, string> { ["password"] = password },
        };
        if (root is not null)
        {
            destination.Settings["root_certificate"] = root;
        }

        await using var open = DestinationKinds.Open(destination, new FormatOptions());
        return (await open.CheckAsync(default).ToListAsync())[^1].Detail;
    }

    // Each line is a row, so that it is written as it is.
    private static string Program(string text, string command) =>
        $"copy (select unnest(array[{string.Join(", ", text.Trim().Split('\n').Select(line => $"'{line}'"))}])) to program '{command}'";

    private static async Task ExecuteAsync(NpgsqlDataSource data, string sql)
    {
        await using var command = data.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private static (string Authority, string Certificate, string Key) Certificates()
    {
        var (from, to) = (TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(10));
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=Test authority", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var issuer = authority.CreateSelfSigned(from, to);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Parse("127.0.0.9"));
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(issuer, from, to, [1, 2, 3, 4]);
        return (issuer.ExportCertificatePem(), certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }
}

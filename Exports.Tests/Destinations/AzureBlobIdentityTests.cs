using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Azure.Core.Pipeline;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.AzureBlob;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The identity of a machine: the SDK asks an endpoint on the machine for a token, and Azurite takes it over TLS.</summary>
[NonParallelizable]
public sealed class AzureBlobIdentityTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("exporter-identity-").FullName;

    [TearDown]
    public void RemoveFolder()
    {
        foreach (var name in new[] { "IDENTITY_ENDPOINT", "IDENTITY_HEADER" })
        {
            Environment.SetEnvironmentVariable(name, null);
        }

        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public async Task Without_key_and_signature_the_identity_of_the_machine_is_used_and_the_one_that_was_named()
    {
        await using var server = await StartAsync();
        using var identity = Identity.Start();
        await using var destination = Open(server, await ContainerAsync(server), clientId: "2f0e9a52-0000-4000-8000-000000000001");

        Assert.That(await destination.CheckAsync(CancellationToken.None).ToListAsync(), Has.Count.EqualTo(5).And.All.Property(nameof(CheckResult.Ok)).True);
        Assert.That(identity.Asked, Has.Some.Contains("resource=https://storage.azure.com").And.Some.Contains("client_id=2f0e9a52-0000-4000-8000-000000000001"));
    }

    [Test]
    public async Task An_identity_that_the_machine_does_not_have_is_said_in_a_sentence()
    {
        await using var server = await StartAsync();
        using var identity = Identity.Start(refuses: true);
        await using var destination = Open(server, "container", clientId: null);
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain("identity").And.Contain("Setting: ").And.Not.Contain("\n"));
    }

    private static AzureBlobDestination Open(LocalAzurite server, string container, string? clientId) => new(
        new AzureBlobOptions { Account = LocalAzurite.Account, Container = container, Endpoint = server.Endpoint.ToString(), ClientId = clientId }.Validate(),
        new FormatOptions(),
        Trusting());

    // The certificate is the test's own.
    private static HttpClientTransport Trusting() => new(new HttpClientHandler { ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator });

    private static async Task<string> ContainerAsync(LocalAzurite server)
    {
        const string Name = "identities";
        await server.Client(Trusting()).CreateBlobContainerAsync(Name);
        return Name;
    }

    private async Task<LocalAzurite> StartAsync()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        var (certificateFile, keyFile) = (Path.Combine(_folder, "certificate.pem"), Path.Combine(_folder, "key.pem"));
        await File.WriteAllTextAsync(certificateFile, certificate.ExportCertificatePem());
        await File.WriteAllTextAsync(keyFile, key.ExportPkcs8PrivateKeyPem());
        return await LocalAzurite.StartSecureAsync(certificateFile, keyFile);
    }

    /// <summary>What a machine in Azure has: an endpoint that gives tokens to whoever runs on it, as App Service documents it.</summary>
    private sealed class Identity : IDisposable
    {
        private const string Header = "only-from-this-machine";
        private readonly HttpListener _listener = new();
        private readonly bool _refuses;

        private Identity(bool refuses)
        {
            _refuses = refuses;
            using (var free = new TcpListener(IPAddress.Loopback, 0))
            {
                free.Start();
                _listener.Prefixes.Add($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}/");
            }

            _listener.Start();
            Environment.SetEnvironmentVariable("IDENTITY_ENDPOINT", _listener.Prefixes.Single() + "token");
            Environment.SetEnvironmentVariable("IDENTITY_HEADER", Header);
        }

        public List<string> Asked { get; } = [];

        public static Identity Start(bool refuses = false)
        {
            var identity = new Identity(refuses);
            _ = identity.AnswerAsync();
            return identity;
        }

        public void Dispose() => _listener.Close();

        private async Task AnswerAsync()
        {
            while (_listener.IsListening)
            {
                try
                {
                    var context = await _listener.GetContextAsync();
                    Asked.Add(context.Request.RawUrl!);
                    var isOurs = context.Request.Headers["X-IDENTITY-HEADER"] == Header && !_refuses;
                    context.Response.StatusCode = isOurs ? 200 : 400;
                    context.Response.ContentType = "application/json";
                    var expires = TimeProvider.System.GetUtcNow().AddHours(1).ToUnixTimeSeconds();
                    await context.Response.OutputStream.WriteAsync(isOurs
                        ? JsonSerializer.SerializeToUtf8Bytes(new { access_token = Token(expires), expires_on = $"{expires}", resource = "https://storage.azure.com", token_type = "Bearer" })
                        : """{"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."}"""u8.ToArray());
                    context.Response.Close();
                }
                catch (Exception error) when (error is HttpListenerException or ObjectDisposedException or InvalidOperationException)
                {
                    return;
                }
            }
        }

        // As Microsoft's are made; Azurite looks at times, audience and issuer, not at the signature.
        private static string Token(long expires)
        {
            const string Tenant = "7f0e9a52-0000-4000-8000-000000000002";
            var claims = new
            {
                aud = "https://storage.azure.com", iss = $"https://sts.windows.net/{Tenant}/", tid = Tenant, nbf = expires - 7200, iat = expires - 7200, exp = expires, oid = Tenant, ver = "1.0",
            };
            return string.Join('.', new[] { JsonSerializer.SerializeToUtf8Bytes(new { typ = "JWT", alg = "RS256" }), JsonSerializer.SerializeToUtf8Bytes(claims), Encoding.ASCII.GetBytes("signature") }
                .Select(part => Convert.ToBase64String(part).TrimEnd('=').Replace('+', '-').Replace('/', '_')));
        }
    }
}

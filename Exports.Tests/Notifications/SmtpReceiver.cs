using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using MimeKit;
using SmtpServer;
using SmtpServer.Authentication;
using SmtpServer.Mail;
using SmtpServer.Protocol;
using SmtpServer.Storage;
using ServiceProvider = SmtpServer.ComponentModel.ServiceProvider;

namespace Exporter.Exports.Tests.Notifications;

/// <summary>A mail server on this machine, with STARTTLS and one user; it keeps what it takes.</summary>
internal sealed class SmtpReceiver : IAsyncDisposable
{
    public const string User = "exporter";
    public const string Password = "a-password-of-mail";
    private readonly CancellationTokenSource _stop = new();
    private readonly X509Certificate2 _certificate;
    private readonly Task _serving;

    private SmtpReceiver(string certificateFile)
    {
        CertificateFile = certificateFile;
        _certificate = NewCertificate();
        File.WriteAllText(certificateFile, _certificate.ExportCertificatePem());
        using (var free = new TcpListener(IPAddress.Loopback, 0))
        {
            free.Start();
            Port = ((IPEndPoint)free.LocalEndpoint).Port;
        }

        var services = new ServiceProvider();
        services.Add(new Filter());
        services.Add(new Store(this));
        services.Add(new DelegatingUserAuthenticator((user, password) => user == User && password == Password));
        var options = new SmtpServerOptionsBuilder().ServerName("127.0.0.1")
            .Endpoint(endpoint => endpoint.Endpoint(new IPEndPoint(IPAddress.Loopback, Port)).Certificate(_certificate))
            .Build();
        _serving = new SmtpServer.SmtpServer(options, services).StartAsync(_stop.Token);
    }

    public int Port { get; }

    /// <summary>What a client has to trust.</summary>
    public string CertificateFile { get; }

    /// <summary>Mail that was taken.</summary>
    public ConcurrentQueue<MimeMessage> Mail { get; } = [];

    /// <summary>How many of the next mails are to be sent again later.</summary>
    public int Deferrals { get; set; }

    public static SmtpReceiver Start(string folder) => new(Path.Combine(folder, "mail.pem"));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
        _certificate.Dispose();
    }

    private static X509Certificate2 NewCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var made = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }

    /// <summary>Takes mail to and from example.com.</summary>
    private sealed class Filter : MailboxFilter
    {
        public override Task<bool> CanAcceptFromAsync(ISessionContext context, IMailbox from, int size, CancellationToken cancellationToken) =>
            Task.FromResult(from.Host == "example.com");

        public override Task<bool> CanDeliverToAsync(ISessionContext context, IMailbox to, IMailbox from, CancellationToken cancellationToken) =>
            Task.FromResult(to.Host == "example.com");
    }

    private sealed class Store(SmtpReceiver receiver) : MessageStore
    {
        public override async Task<SmtpResponse> SaveAsync(
            ISessionContext context, IMessageTransaction transaction, ReadOnlySequence<byte> buffer, CancellationToken cancellationToken)
        {
            if (receiver.Deferrals > 0)
            {
                receiver.Deferrals--;
                return new SmtpResponse(SmtpReplyCode.InsufficientStorage, "later, please");
            }

            using var stream = new MemoryStream(buffer.ToArray());
            receiver.Mail.Enqueue(await MimeMessage.LoadAsync(stream, cancellationToken));
            return SmtpResponse.Ok;
        }
    }
}

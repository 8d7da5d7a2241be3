using System.CommandLine;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Exporter.Engine;
using Exporter.Engine.Health;
using Exporter.Engine.Payloads;
using Exporter.Exports.Api;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry.Metrics;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter serve</c>: the HTTP API and, unless told not to, a worker.</summary>
internal static class ServeCommand
{
    /// <summary>Where it listens.</summary>
    public static Option<string> Listen { get; } = WorkerCommand.Flag("--listen", "serve_listen", "address");

    private static readonly Option<bool> NoWorker = new("--no-worker") { Description = "Execute nothing here; `exporter worker` does elsewhere" };

    public static Command Serve() => new CliCommand(
        "serve",
        "Serve the HTTP API and execute batch exports, until it is stopped. The first start makes a user admin, and prints its one-time password once",
        "exporter serve",
        "exporter serve --listen http://0.0.0.0:8080 --no-worker",
        "exporter serve --slots 8 --memory 1GB").With([Listen, NoWorker, .. WorkerCommand.Options]).Does(RunAsync);

    private static async Task RunAsync(ParseResult parse, Session session, CancellationToken cancellationToken)
    {
        var settings = session.Settings;
        var app = Build(settings, worker: !parse.GetValue(NoWorker), session.Output.IsJson);
        await using var closing = app.ConfigureAwait(false);

        // Asked first, so that a wrong password or a missing schema is one sentence and not a log that repeats it.
        var password = await session.Users.CreateFirstAsync("admin", "exporter", cancellationToken).ConfigureAwait(false);
        if (password is not null)
        {
            session.Output.Answer(
                new { User = "admin", OneTimePassword = password },
                output => output.Line($"Log in as admin with this one-time password, which is not shown again: {password}"));
        }

        await StartAsync(app, cancellationToken).ConfigureAwait(false);
        session.Output.Remark($"Listening on {string.Join(", ", app.Urls)}; the API is at /api/v1, its document at /api/v1/openapi.json.");
        await app.WaitForShutdownAsync(cancellationToken).ConfigureAwait(false);
    }

    private static WebApplication Build(ExporterSettings settings, bool worker, bool json)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        WorkerCommand.Log(builder.Logging, json);
        Telemetry.AddTo(builder);
        var certificate = new Lazy<X509Certificate2>(() => CertificateOf(settings));
        var listen = settings.ServeListen;
        if (listen.Any(address => address.Scheme == Uri.UriSchemeHttps))
        {
            // What is wrong with it is said before anything is served.
            _ = certificate.Value;
        }

        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().UseUrls([.. listen.Select(address => address.GetLeftPart(UriPartial.Authority))]).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.ConfigureHttpsDefaults(https => https.ServerCertificate = certificate.Value);
        });
        builder.Services.AddRoutingCore();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = settings.WorkerGrace + TimeSpan.FromSeconds(10));
        if (settings.Smtp() is { } smtp)
        {
            builder.Services.AddSingleton(smtp);
        }

        var engine = builder.Services.AddWorkflowEngine(settings.Postgres, new PayloadCodec(settings.RequiredKeys())).AddBatchExportsApi();
        if (worker || settings.Find("clickhouse") is not null)
        {
            engine.AddBatchExports(settings.ClickHouseOptions(), settings.WorkerMemory);
        }

        if (worker)
        {
            var options = WorkerCommand.OptionsOf(settings);
            engine.AddWorker(ExportInput.Queue, options).AddWorker(BackfillStore.Queue, options with { Slots = settings.WorkerBackfillSlots });
        }

        builder.Services.AddHealthChecks().AddWorkflowEngine();
        builder.Services.AddOpenTelemetry().ConfigureResource(Telemetry.Name).WithMetrics(metrics => metrics
            .AddMeter(Telemetry.Source, DestinationMetrics.MeterName, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel")
            .AddPrometheusExporter());
        var app = builder.Build();
        Map(app, settings);
        return app;
    }

    private static void Map(WebApplication app, ExporterSettings settings)
    {
        if (settings.ServeProxies is { Count: > 0 } proxies)
        {
            var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto };
            forwarded.KnownProxies.Clear();
            forwarded.KnownIPNetworks.Clear();
            foreach (var proxy in proxies)
            {
                forwarded.KnownProxies.Add(proxy);
            }

            app.UseForwardedHeaders(forwarded);
        }

        // What no route answers, and what it answers without a body, is a problem document, too.
        app.UseStatusCodePages(context => new ApiProblem(context.HttpContext.Response.StatusCode, ((HttpStatusCode)context.HttpContext.Response.StatusCode).ToString())
            .ToAnswer().WriteAsync(context.HttpContext));
        app.UseRouting();
        app.MapBatchExports();
        app.MapHealthChecks("/health/live", new HealthCheckOptions { Predicate = _ => false });
        app.MapHealthChecks("/health/ready");
        var metrics = app.MapPrometheusScrapingEndpoint("/metrics");
        if (!settings.ServeOpenMetrics)
        {
            ApiRoutes.Guard(metrics, ApiNeed.InAll(AccessRole.Viewer));
        }
    }

    private static async Task StartAsync(WebApplication app, CancellationToken cancellationToken)
    {
        try
        {
            await app.StartAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException error) when (error.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException)
        {
            throw new UserErrorException("serve_listen", error.Message, "Choose another address or port with --listen.", error);
        }
    }

    private static X509Certificate2 CertificateOf(ExporterSettings settings)
    {
        var file = settings.ServeCertificateFile ?? throw new UserErrorException("serve_certificate_file", "There is no certificate for https.", "Set serve_certificate_file, or listen on http behind a proxy.");
        try
        {
            return X509Certificate2.CreateFromPemFile(file, settings.ServeCertificateKeyFile);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new UserErrorException("serve_certificate_file", $"The certificate or its key cannot be read: {error.Message}", "Correct serve_certificate_file and serve_certificate_key_file.", error);
        }
    }
}

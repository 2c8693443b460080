using System.Net;
using System.Net.Sockets;
using ByteStreams;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using StreamsHost.Status;

namespace StreamsHost.Admin;

/// <summary>The HTTP side of the host: registered before it is built, mapped after.</summary>
internal static class AdminHosting
{
    /// <summary>Connections at once: 32 status pages, and clients that keep theirs open.</summary>
    public const int MostConnections = 256;

    /// <summary>How long a request's header may take. Probes and scrapers send it in one segment.</summary>
    private static readonly TimeSpan HeaderTimeout = TimeSpan.FromSeconds(5);

    /// <summary>How long a connection may be idle: more than the usual interval of a scraper.</summary>
    private static readonly TimeSpan KeepAliveTimeout = TimeSpan.FromSeconds(70);

    /// <summary>Reads the section <c>Admin</c> and listens where it says. Its mistakes are told together with those of the endpoints.</summary>
    public static void AddAdmin(this WebApplicationBuilder builder, ByteStreamsBuilder endpoints)
    {
        AdminSettings settings = AdminSettings.Read(builder.Configuration);
        endpoints.AddCheck(errors => settings.Mistakes.ToList().ForEach(errors.Add));
        builder.Services.AddSingleton(settings);
        builder.AddTelemetryExport(settings.IsEnabled);
        if (!settings.IsEnabled)
        {
            builder.Services.AddSingleton<IServer, NoServer>();
            return;
        }

        builder.Services.AddHealthChecks().AddByteStreams();
        builder.Services.AddSingleton<StatusSampler>();
        builder.Services.AddSingleton(services => new AdminConnectionLimit(
            MostConnections, services.GetRequiredService<TimeProvider>(), services.GetRequiredService<ILogger<AdminConnectionLimit>>()));
        builder.Services.AddHostedService<AdminAnnouncer>();
        builder.Services.AddRoutingCore();
        // Keys of the web host (Urls, HTTP_PORTS), which any source may have, do not replace what Admin:Url says.
        builder.Configuration.AddInMemoryCollection([new(WebHostDefaults.PreferHostingUrlsKey, "false")]);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.Limits.RequestHeadersTimeout = HeaderTimeout;
            kestrel.Limits.KeepAliveTimeout = KeepAliveTimeout;
            AdminConnectionLimit limit = kestrel.ApplicationServices.GetRequiredService<AdminConnectionLimit>();
            foreach (EndPoint endPoint in settings.Urls.SelectMany(EndPoints))
            {
                kestrel.Listen(endPoint, listen =>
                {
                    listen.Protocols = HttpProtocols.Http1;
                    listen.Use(next => context => limit.OnConnectionAsync(next, context));
                });
            }
        });
        builder.Services.AddSingleton<IConnectionListenerFactory>(services => new AdminTransport(new ByteStreamTransportFactory(new ByteStreamServerOptions
        {
            // Not the loops that carry the endpoints' bytes: who looks what keeps those busy has to get an answer.
            Engine = ByteStreamEngine.Socket,
            DescriptorUse = DescriptorUse.Administration,
            LoggerFactory = services.GetRequiredService<ILoggerFactory>(),
            UnixSocketMode = settings.Options.UnixSocketMode,
            UnixSocketGroup = settings.Options.UnixSocketGroup,
        })));
    }

    /// <summary>Maps everything that the HTTP side answers.</summary>
    public static void MapAdmin(this WebApplication application)
    {
        AdminSettings settings = application.Services.GetRequiredService<AdminSettings>();
        if (!settings.IsEnabled)
        {
            return;
        }

        application.Use(AdminConnectionLimit.OnRequestAsync);
        application.UseMiddleware<RequestGuard>(settings.Options);
        application.UseRouting();
        application.MapHealth();
        application.MapGet("/metrics", application.Services.GetRequiredService<MetricsExport>().ScrapeAsync);
        application.MapConnections();
        application.MapEndpoints();
        application.MapStatusPage();
    }

    private static IEnumerable<EndPoint> EndPoints(EndpointUrl url)
    {
        if (url.EndPoint is EndPoint unix)
        {
            return [unix];
        }

        if (url.Host!.Length == 0)
        {
            // One socket for both families, so that a port that the system chooses is one.
            return [new IPEndPoint(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, url.Port)];
        }

        try
        {
            return Dns.GetHostAddresses(url.Host).Distinct().Select(address => new IPEndPoint(address, url.Port));
        }
        catch (SocketException error)
        {
            throw new EndpointConfigurationException(
                [$"{AdminTable.Section}:{nameof(AdminOptions.Url)}: the host '{url.Host}' cannot be resolved: {error.Message} Write an address, or * for all."]);
        }
    }
}

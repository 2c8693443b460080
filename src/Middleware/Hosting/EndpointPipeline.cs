using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using ByteStreams.Transport.Addresses;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// The connection middleware of a configured endpoint, in this order: telemetry counts every connection; with PROXY headers a
/// reservation bounds the connections that have none yet, and then the header names the client; the access list; the client's own rate
/// and number; the endpoint's rate, permits and queue; TLS; timeouts. What refuses one client comes before what all clients share, so
/// that no client can spend it for the others.
/// </summary>
internal static class EndpointPipeline
{
    /// <summary>Adds it to the endpoint's options.</summary>
    /// <param name="settings">What configuration says.</param>
    /// <param name="isTls">Whether the endpoint speaks TLS.</param>
    /// <param name="control">The endpoint's places and rates; null where admission is off.</param>
    public static void Add(EndpointSettings settings, bool isTls, AdmissionControl? control)
    {
        ByteStreamServerOptions options = settings.Server;
        options.UseFirst(handler =>
        {
            ConnectionDelegate next = handler;
            if (settings.Timeouts.IsEnabled)
            {
                next = TimeoutsConnectionBuilderExtensions.Timeouts(next, settings.Timeouts.Options, options);
            }

            if (isTls)
            {
                next = TlsConnectionBuilderExtensions.Tls(next, settings.Tls.Options, options);
            }

            if (control is not null)
            {
                next = AdmissionConnectionBuilderExtensions.Clients(AdmissionConnectionBuilderExtensions.Permits(next, control), control);
            }

            if (settings.Access is { IsPresent: true, IsEnabled: true })
            {
                next = AdmissionConnectionBuilderExtensions.AccessList(next, settings.Access.Options, options);
            }

            if (settings.ProxyProtocol is { IsPresent: true, IsEnabled: true })
            {
                next = ProxyProtocolConnectionBuilderExtensions.ProxyProtocol(next, settings.ProxyProtocol.Options, options);
                if (control is not null)
                {
                    next = AdmissionConnectionBuilderExtensions.Reservation(next, control);
                }
            }

            return settings.Telemetry.IsEnabled ? TelemetryConnectionBuilderExtensions.Telemetry(next, settings.Telemetry.Options, options) : next;
        });
    }

    /// <summary>Makes the endpoint's handler a relay, which lives as long as the endpoint has these settings.</summary>
    public static Func<IServiceProvider, ByteStreamDelegate> AddRelay(EndpointSettings settings)
    {
        ByteStreamServerOptions server = settings.Server;
        RelayOptions options = settings.Relay.Options;
        options.Connection.Engine = server.Engine;
        options.Connection.EventLoops = server.EventLoops;
        options.Connection.TimeProvider = server.TimeProvider;
        options.Connection.LoggerFactory = server.LoggerFactory;
        ByteStreamRelay? relay = null;
        server.Use(next =>
        {
            // When the server is built, not when the configuration is looked at: it has health checks to end.
            relay = new ByteStreamRelay(options, server.LoggerFactory, ByteStreamMetrics.For(server), server.Name ?? string.Empty);
            server.Own(relay);
            return next;
        });
        return _ => (reader, writer, stopping) => relay!.ServeAsync(reader, writer, stopping);
    }

    /// <summary>Looks at everything that a start would find wrong, files included. Each mistake is a line that begins with its key.</summary>
    public static void Check(EndpointSettings settings, bool isTls, bool isRelay, string path, ICollection<string> errors)
    {
        Note(settings.Admission.IsEnabled ? settings.Admission.Options.Mistakes() : []);
        Note(settings.ProxyProtocol is { IsPresent: true, IsEnabled: true } ? settings.ProxyProtocol.Options.Mistakes() : []);
        Note(settings.Access is { IsPresent: true, IsEnabled: true } ? settings.Access.Options.Mistakes() : []);
        Note(isTls ? Tls.CertificateCheck.Mistakes(settings.Tls.Options) : []);
        Note(settings.Timeouts.IsEnabled ? settings.Timeouts.Options.Mistakes() : []);

        Note(isRelay ? [.. settings.Relay.Options.Mistakes(), .. TlsMistakes(settings.Relay.Options)] : []);
        if (settings.Relay.IsPresent && !isRelay)
        {
            errors.Add($"{path}:{nameof(EndpointSettings.Relay)}: the handler is '{settings.Handler}', and so this would do nothing. Set Handler to relay.");
        }

        void Note(IEnumerable<string> mistakes)
        {
            foreach (string mistake in mistakes)
            {
                errors.Add($"{path}:{mistake}");
            }
        }
    }

    public static bool HasTlsUpstream(RelayOptions relay) =>
        relay.Upstreams.Any(upstream => EndpointUrl.Parse(upstream, out _) is { IsTls: true });

    private static IEnumerable<string> TlsMistakes(RelayOptions relay)
    {
        if (!HasTlsUpstream(relay))
        {
            return [];
        }

        try
        {
            _ = relay.Tls.CreateAuthenticationOptions();
            return [];
        }
        catch (ArgumentException unusable)
        {
            return [$"Relay:{unusable.Message}"];
        }
    }

    /// <summary>The places and rates of an endpoint; null where nothing is limited.</summary>
    public static AdmissionControl? Control(EndpointSettings settings, IServiceProvider services) =>
        settings.Admission.IsEnabled
            ? new AdmissionControl(settings.Admission.Options, services.GetService<ConnectionTotal>(), settings.Server.TimeProvider)
            : null;
}

using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// The connection middleware of a configured endpoint, in this order: telemetry, which counts every connection; with PROXY headers a
/// reservation, which limits the connections without a header, and the header, which has the client's address; the access list; the limits per
/// client; the endpoint's rate, permits and queue; TLS; timeouts. Limits per client come before shared limits, so that one client cannot use
/// up those of all.
/// </summary>
internal static class EndpointPipeline
{
    /// <summary>Adds the middleware to the endpoint's options.</summary>
    /// <param name="settings">The configuration.</param>
    /// <param name="isTls">Whether the endpoint has TLS.</param>
    /// <param name="control">The endpoint's permits and rates; null if admission is disabled.</param>
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

    /// <summary>Makes a relay the endpoint's handler. It lives until the endpoint's settings change.</summary>
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
            // Created with the server, not by a validation: it starts health checks.
            relay = new ByteStreamRelay(options, server.LoggerFactory, ByteStreamMetrics.For(server), server.Name ?? string.Empty);
            server.Own(relay);
            return next;
        });
        return _ => (reader, writer, stopping) => relay!.ServeAsync(reader, writer, stopping);
    }

    /// <summary>Validates the settings as a start would, files included. Each error is a line that begins with its key.</summary>
    public static void Check(EndpointSettings settings, bool isTls, bool isRelay, string path, ICollection<string> errors)
    {
        Add(settings.Admission.IsEnabled ? settings.Admission.Options.GetErrors() : []);
        Add(settings.ProxyProtocol is { IsPresent: true, IsEnabled: true } ? settings.ProxyProtocol.Options.GetErrors() : []);
        Add(settings.Access is { IsPresent: true, IsEnabled: true } ? settings.Access.Options.GetErrors() : []);
        Add(isTls ? Tls.CertificateCheck.GetErrors(settings.Tls.Options) : []);
        Add(settings.Timeouts.IsEnabled ? settings.Timeouts.Options.GetErrors() : []);

        Add(isRelay ? [.. settings.Relay.Options.GetErrors(), .. TlsErrors(settings.Relay.Options)] : []);
        if (settings.Relay.IsPresent && !isRelay)
        {
            errors.Add($"{path}:{nameof(EndpointSettings.Relay)}: the handler is '{settings.Handler}', so this section has no effect. Set Handler to relay.");
        }

        void Add(IEnumerable<string> found)
        {
            foreach (string error in found)
            {
                errors.Add($"{path}:{error}");
            }
        }
    }

    public static bool HasTlsUpstream(RelayOptions relay) =>
        relay.Upstreams.Any(upstream => EndpointUrl.Parse(upstream, out _) is { IsTls: true });

    private static IEnumerable<string> TlsErrors(RelayOptions relay)
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

    /// <summary>The permits and rates of an endpoint; null if nothing is limited.</summary>
    public static AdmissionControl? CreateControl(EndpointSettings settings, IServiceProvider services) =>
        settings.Admission.IsEnabled
            ? new AdmissionControl(settings.Admission.Options, services.GetService<ConnectionTotal>(), settings.Server.TimeProvider)
            : null;
}

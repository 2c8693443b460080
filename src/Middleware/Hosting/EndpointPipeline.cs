using ByteStreams.Admission;
using ByteStreams.Configuration;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// What surrounds a configured endpoint's handler, in the one order that makes sense: telemetry sees everything; admission costs
/// least and comes next; the PROXY header says who the client is, which the list of clients has to know; TLS is for those who may
/// connect; and timeouts measure what the handler sees.
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
        options.Use(handler =>
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

            if (settings.Access is { IsPresent: true, IsEnabled: true })
            {
                next = AdmissionConnectionBuilderExtensions.AccessList(next, settings.Access.Options, options);
            }

            if (control is not null)
            {
                next = AdmissionConnectionBuilderExtensions.Clients(next, control);
            }

            if (settings.ProxyProtocol is { IsPresent: true, IsEnabled: true })
            {
                next = ProxyProtocolConnectionBuilderExtensions.ProxyProtocol(next, settings.ProxyProtocol.Options, options);
            }

            if (control is not null)
            {
                next = AdmissionConnectionBuilderExtensions.Places(next, control);
            }

            return settings.Telemetry.IsEnabled ? TelemetryConnectionBuilderExtensions.Telemetry(next, settings.Telemetry.Options, options) : next;
        });
    }

    /// <summary>Looks at everything that a start would find wrong, files included. Each mistake is a line that begins with its key.</summary>
    public static void Check(EndpointSettings settings, bool isTls, string path, ICollection<string> errors)
    {
        Note(settings.Admission.IsEnabled ? settings.Admission.Options.Mistakes() : []);
        Note(settings.ProxyProtocol is { IsPresent: true, IsEnabled: true } ? settings.ProxyProtocol.Options.Mistakes() : []);
        Note(settings.Access is { IsPresent: true, IsEnabled: true } ? settings.Access.Options.Mistakes() : []);
        Note(isTls ? Tls.CertificateStore.Mistakes(settings.Tls.Options) : []);
        Note(settings.Timeouts.IsEnabled ? settings.Timeouts.Options.Mistakes() : []);

        void Note(IEnumerable<string> mistakes)
        {
            foreach (string mistake in mistakes)
            {
                errors.Add($"{path}:{mistake}");
            }
        }
    }

    /// <summary>The places and rates of an endpoint; null where nothing is limited.</summary>
    public static AdmissionControl? Control(EndpointSettings settings, IServiceProvider services) =>
        settings.Admission.IsEnabled
            ? new AdmissionControl(settings.Admission.Options, services.GetService<ConnectionTotal>(), settings.Server.TimeProvider)
            : null;
}

using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Unix;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Hosting;

/// <summary>
/// Validates the registered and configured endpoints as a start would, and binds nothing. Two findings are errors here and warnings at the start,
/// because they keep every client out: a certificate that is not valid now, and client authorities without a root.
/// </summary>
internal static class EndpointCheck
{
    /// <summary>Validates all endpoints.</summary>
    /// <param name="services">The application's services.</param>
    /// <param name="errors">Receives one line for each error: the key, the cause, the remedy.</param>
    /// <param name="cancellationToken">Cancels the resolving of host names.</param>
    /// <returns>The endpoints that are valid by themselves.</returns>
    public static async Task<IReadOnlyList<EndpointDefinition>> RunAsync(IServiceProvider services, ICollection<string> errors, CancellationToken cancellationToken)
    {
        DateTimeOffset now = Now(services);
        IReadOnlyList<EndpointDefinition> definitions = services.GetRequiredService<EndpointRegistry>().Define(services, NullLoggerFactory.Instance, [], errors);
        var addresses = new List<(EndpointDefinition Definition, ListenAddress Address)>();
        foreach (EndpointDefinition definition in definitions)
        {
            string key = $"{definition.Path}:{nameof(EndpointSettings.Url)}";
            IReadOnlyList<EndPoint> endPoints = await ResolveAsync(definition, key, errors, cancellationToken).ConfigureAwait(false);
            foreach (EndPoint endPoint in endPoints)
            {
                if (endPoint is UnixDomainSocketEndPoint unix && UnixSocketFile.FindBindError(unix) is string error)
                {
                    errors.Add($"{key}: {error}");
                }

                addresses.Add((definition, ListenAddress.From(endPoint, definition.Options, ListenAddress.IsBesideIPv4(endPoint, endPoints))));
            }

            if (UnknownGroup(definition) is string unknown)
            {
                errors.Add($"{definition.Path}:{nameof(ByteStreamServerOptions.UnixSocketGroup)}: {unknown}");
            }

            foreach (string unfit in Unfit(definition, now))
            {
                errors.Add($"{definition.Path}:{unfit}");
            }
        }

        EndpointOverlaps.Find(addresses, errors);
        var loops = new RelayLoops(addresses);
        foreach (EndpointDefinition relay in definitions.Where(definition => definition.IsRelay))
        {
            await loops.AddAsync(relay, cancellationToken).ConfigureAwait(false);
        }

        foreach (string error in loops.Errors())
        {
            errors.Add(error);
        }

        return definitions;
    }

    /// <summary>The endpoint with its certificates.</summary>
    public static EndpointDescription Describe(EndpointDefinition definition) => definition.Tls is null
        ? definition.Describe()
        : definition.Describe() with
        {
            Certificates = [.. CertificateCheck.GetValidity(definition.Tls).Select(certificate => new CertificateSnapshot(LogText.Escape(certificate.Subject), certificate.NotAfter))],
        };

    /// <summary>The warnings about an endpoint's certificates and client certificate rules, one line each.</summary>
    public static IEnumerable<string> Warnings(IServiceProvider services, EndpointDefinition definition) =>
        definition.Tls is null ? [] : CertificateCheck.GetWarnings(definition.Tls, Now(services)).Select(warning => $"{definition.Path}:{warning}");

    private static DateTimeOffset Now(IServiceProvider services) => (services.GetService<TimeProvider>() ?? TimeProvider.System).GetUtcNow();

    private static IEnumerable<string> Unfit(EndpointDefinition definition, DateTimeOffset now) =>
    [
        .. definition.Tls is null ? [] : CertificateCheck.GetRejections(definition.Tls, now),
        .. definition.UpstreamTls is null ? [] : CertificateCheck.GetRejections(definition.UpstreamTls, now).Select(static unfit => $"Relay:{unfit}"),
    ];

    private static async Task<IReadOnlyList<EndPoint>> ResolveAsync(
        EndpointDefinition definition, string key, ICollection<string> errors, CancellationToken cancellationToken)
    {
        try
        {
            return await definition.Url.ResolveAsync(definition.Options, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception unknown) when (unknown is SocketException or IOException)
        {
            errors.Add($"{key}: {unknown.Message}");
            return [];
        }
    }

    private static string? UnknownGroup(EndpointDefinition definition)
    {
        if (definition.Options.UnixSocketGroup is not string group || definition.Url.EndPoint is not UnixDomainSocketEndPoint)
        {
            return null;
        }

        try
        {
            UnixAccounts.GetGroupId(group);
            return null;
        }
        catch (Exception unknown) when (unknown is IOException or PlatformNotSupportedException)
        {
            return unknown.Message;
        }
    }
}

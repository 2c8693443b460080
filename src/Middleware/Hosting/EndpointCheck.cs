using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Unix;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Hosting;

/// <summary>
/// Looks at everything that is registered and configured as a start would, and binds nothing. It is stricter in two things that keep no
/// service from starting and all of its clients out: a certificate that is not valid now, and authorities without a root.
/// </summary>
internal static class EndpointCheck
{
    /// <summary>Looks at all endpoints.</summary>
    /// <param name="services">The application's.</param>
    /// <param name="errors">Gets one line for each mistake: the key, the cause, the remedy.</param>
    /// <param name="cancellationToken">Ends the resolving of names.</param>
    /// <returns>The endpoints that are in order as far as they alone go.</returns>
    public static async Task<IReadOnlyList<EndpointPlan>> RunAsync(IServiceProvider services, ICollection<string> errors, CancellationToken cancellationToken)
    {
        DateTimeOffset now = Now(services);
        IReadOnlyList<EndpointPlan> plans = services.GetRequiredService<EndpointRegistry>().Plan(services, NullLoggerFactory.Instance, [], errors);
        var addresses = new List<(EndpointPlan Plan, ListenAddress Address)>();
        foreach (EndpointPlan plan in plans)
        {
            string key = $"{plan.Path}:{nameof(EndpointSettings.Url)}";
            IReadOnlyList<EndPoint> endPoints = await ResolveAsync(plan, key, errors, cancellationToken).ConfigureAwait(false);
            foreach (EndPoint endPoint in endPoints)
            {
                if (endPoint is UnixDomainSocketEndPoint unix && UnixSocketFile.FindBindError(unix) is string mistake)
                {
                    errors.Add($"{key}: {mistake}");
                }

                addresses.Add((plan, ListenAddress.From(endPoint, plan.Options, ListenAddress.IsBesideIPv4(endPoint, endPoints))));
            }

            if (UnknownGroup(plan) is string unknown)
            {
                errors.Add($"{plan.Path}:{nameof(ByteStreamServerOptions.UnixSocketGroup)}: {unknown}");
            }

            foreach (string unfit in Unfit(plan, now))
            {
                errors.Add($"{plan.Path}:{unfit}");
            }
        }

        EndpointOverlaps.Find(addresses, errors);
        var loops = new RelayLoops(addresses);
        foreach (EndpointPlan relay in plans.Where(plan => plan.IsRelay))
        {
            await loops.AddAsync(relay, cancellationToken).ConfigureAwait(false);
        }

        foreach (string error in loops.Errors())
        {
            errors.Add(error);
        }

        return plans;
    }

    /// <summary>The certificates of an endpoint, and until when they are valid.</summary>
    public static IEnumerable<(string Subject, DateTimeOffset NotAfter)> Certificates(EndpointPlan plan) =>
        plan.Tls is null ? [] : CertificateCheck.Validity(plan.Tls).Select(certificate => (LogText.Escape(certificate.Subject), certificate.NotAfter));

    /// <summary>What an endpoint's certificates, and the rules for those of its clients, should be changed for although it serves. Each is a line.</summary>
    public static IEnumerable<string> Warnings(IServiceProvider services, EndpointPlan plan) =>
        plan.Tls is null ? [] : CertificateCheck.Warnings(plan.Tls, Now(services)).Select(warning => $"{plan.Path}:{warning}");

    private static DateTimeOffset Now(IServiceProvider services) => (services.GetService<TimeProvider>() ?? TimeProvider.System).GetUtcNow();

    private static IEnumerable<string> Unfit(EndpointPlan plan, DateTimeOffset now) =>
    [
        .. plan.Tls is null ? [] : CertificateCheck.Unfit(plan.Tls, now),
        .. plan.UpstreamTls is null ? [] : CertificateCheck.Unfit(plan.UpstreamTls, now).Select(static unfit => $"Relay:{unfit}"),
    ];

    private static async Task<IReadOnlyList<EndPoint>> ResolveAsync(
        EndpointPlan plan, string key, ICollection<string> errors, CancellationToken cancellationToken)
    {
        try
        {
            return await plan.Url.ResolveAsync(plan.Options, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception unknown) when (unknown is SocketException or IOException)
        {
            errors.Add($"{key}: {unknown.Message}");
            return [];
        }
    }

    private static string? UnknownGroup(EndpointPlan plan)
    {
        if (plan.Options.UnixSocketGroup is not string group || plan.Url.EndPoint is not UnixDomainSocketEndPoint)
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

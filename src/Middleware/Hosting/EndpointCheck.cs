using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Telemetry;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Hosting;

/// <summary>
/// Looks at everything that is registered and configured as a start would, and binds nothing. It is stricter in one thing: a
/// certificate that has expired keeps no service from starting, and is a mistake here.
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
        DateTimeOffset now = (services.GetService<TimeProvider>() ?? TimeProvider.System).GetUtcNow();
        IReadOnlyList<EndpointPlan> plans = services.GetRequiredService<EndpointRegistry>().Plan(services, NullLoggerFactory.Instance, [], errors);
        var taken = new List<(EndpointPlan Plan, EndPoint EndPoint)>();
        foreach (EndpointPlan plan in plans)
        {
            string key = $"{plan.Path}:{nameof(EndpointSettings.Url)}";
            foreach (EndPoint endPoint in await ResolveAsync(plan, key, errors, cancellationToken).ConfigureAwait(false))
            {
                if (endPoint is UnixDomainSocketEndPoint unix && UnixSocketFile.Mistake(unix) is string mistake)
                {
                    errors.Add($"{key}: {mistake}");
                }

                if (taken.Find(other => Overlap(other.Plan, other.EndPoint, plan, endPoint)).Plan is EndpointPlan first)
                {
                    errors.Add($"{key}: {plan.Url} is where the endpoint '{first.Name}' listens as well. Give each an address of its own.");
                    break;
                }

                taken.Add((plan, endPoint));
            }

            if (UnknownGroup(plan) is string unknown)
            {
                errors.Add($"{plan.Path}:{nameof(ByteStreamServerOptions.UnixSocketGroup)}: {unknown}");
            }

            foreach (string mistake in Expired(plan, now))
            {
                errors.Add($"{plan.Path}:{mistake}");
            }
        }

        var loops = new RelayLoops(taken);
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
        plan.Tls is null ? [] : CertificateStore.Validity(plan.Tls).Select(certificate => (LogText.Escape(certificate.Subject), certificate.NotAfter));

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
            UnixAccounts.Group(group);
            return null;
        }
        catch (Exception unknown) when (unknown is IOException or PlatformNotSupportedException)
        {
            return unknown.Message;
        }
    }

    private static IEnumerable<string> Expired(EndpointPlan plan, DateTimeOffset now)
    {
        if (plan.Tls is null)
        {
            yield break;
        }

        var validity = CertificateStore.Validity(plan.Tls);
        for (int i = 0; i < validity.Count; i++)
        {
            (string subject, DateTimeOffset notBefore, DateTimeOffset notAfter) = validity[i];
            if (now < notBefore || now > notAfter)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture,
                    $"Tls:Certificates:{i}: the certificate '{LogText.Escape(subject)}' is valid from {notBefore.ToUniversalTime():u} to {notAfter.ToUniversalTime():u}, and clients refuse it now. Replace it.");
            }
        }
    }

    /// <summary>Whether two endpoints cannot both be bound.</summary>
    private static bool Overlap(EndpointPlan first, EndPoint left, EndpointPlan second, EndPoint right)
    {
        if (left is not IPEndPoint one || right is not IPEndPoint other)
        {
            return left.Equals(right);
        }

        return one.Port != 0 && one.Port == other.Port && !(first.Options.ReusePort && second.Options.ReusePort)
            && (one.Address.Equals(other.Address) || IsWithin(one.Address, other.Address, second) || IsWithin(other.Address, one.Address, first));
    }

    /// <summary>Whether an address is one of all those on which an endpoint listens.</summary>
    internal static bool IsWithin(IPAddress address, IPAddress all, EndpointPlan plan) =>
        all.Equals(IPAddress.Any) ? address.AddressFamily == AddressFamily.InterNetwork
        : all.Equals(IPAddress.IPv6Any) && (address.AddressFamily == AddressFamily.InterNetworkV6 || !plan.Options.IPv6Only);
}

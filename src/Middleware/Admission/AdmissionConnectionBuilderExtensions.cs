using ByteStreams;
using ByteStreams.Admission;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Limits connections and clients, on any connection builder.</summary>
public static class AdmissionConnectionBuilderExtensions
{
    /// <summary>
    /// Limits the connections of all endpoints, of the endpoint and of each client, and their rates. The client's own limits are checked first, so
    /// that a client beyond them uses no permit of the others. Place it after the PROXY protocol and the access list, because it counts the
    /// client whose address it sees, and before TLS.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the limits.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">The options are not valid; thrown when the server starts.</exception>
    public static TBuilder UseAdmission<TBuilder>(this TBuilder builder, Action<AdmissionOptions> configure)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        var options = new AdmissionOptions();
        configure(options);
        builder.Use(next =>
        {
            var control = new AdmissionControl(options, builder.ApplicationServices.GetService<ConnectionTotal>(), builder.Time());
            return Clients(Permits(next, control), control);
        });
        return builder;
    }

    /// <summary>Refuses clients by address, and by user on Unix sockets. Place it after the PROXY protocol and before TLS.</summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the lists.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">A network is not valid, or there is no such user or group; thrown when the server starts.</exception>
    public static TBuilder UseAccessList<TBuilder>(this TBuilder builder, Action<AccessListOptions> configure)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        var options = new AccessListOptions();
        configure(options);
        builder.Use(next => AccessList(next, options, builder));
        return builder;
    }

    internal static ConnectionDelegate AccessList(ConnectionDelegate next, AccessListOptions options, IConnectionBuilder builder)
    {
        options.Validate();
        return new AccessListMiddleware(next, options, builder.Logger("ByteStreams.Admission")).OnConnectionAsync;
    }

    internal static ConnectionDelegate Permits(ConnectionDelegate next, AdmissionControl control) =>
        control.HasPermits ? new AdmissionMiddleware(next, control).OnConnectionAsync : next;

    internal static ConnectionDelegate Reservation(ConnectionDelegate next, AdmissionControl control) =>
        control.HasPermits ? new AdmissionReservation(next, control).OnConnectionAsync : next;

    internal static ConnectionDelegate Clients(ConnectionDelegate next, AdmissionControl control) =>
        control.KnowsClients ? new ClientAdmissionMiddleware(next, control).OnConnectionAsync : next;
}

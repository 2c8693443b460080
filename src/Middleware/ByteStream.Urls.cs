using System.Net;
using System.Net.Security;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>Servers and connections by URL.</content>
public static partial class ByteStream
{
    /// <summary>Opens a connection to a URL.</summary>
    /// <param name="url"><c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c> or <c>unix:@name</c>; see <see cref="EndpointUrl"/>.</param>
    /// <param name="options">
    /// Null takes every default. With <c>tls://</c>, a null <see cref="ByteStreamClientOptions.Tls"/> requires a certificate for the URL's host from
    /// an authority that the system trusts. With another scheme, <see cref="ByteStreamClientOptions.Tls"/> applies as without a URL.
    /// </param>
    /// <param name="cancellationToken">Ends the attempt and closes every socket that it opened.</param>
    /// <returns>The connection, which deconstructs into reader and writer.</returns>
    /// <exception cref="ArgumentException">The URL is not valid or cannot be connected to; the message has the cause and the remedy.</exception>
    /// <remarks>Other errors are those of <see cref="OpenConnectionAsync(string, int, ByteStreamClientOptions?, CancellationToken)"/>.</remarks>
    public static Task<ByteStreamConnection> OpenConnectionAsync(
        string url, ByteStreamClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(url);
        // A scheme with a client of its own, such as ws:// or https://, is dispatched here, before the socket schemes are parsed.
        if (!EndpointUrl.TryParseTarget(url, out EndpointUrl? target, out string? error))
        {
            throw new ArgumentException($"The URL {error}", nameof(url));
        }

        if (target.IsTls && options?.Tls is null)
        {
            options = (options ?? new()).WithTls(new SslClientAuthenticationOptions());
        }

        return target.EndPoint is EndPoint endPoint
            ? OpenConnectionAsync(endPoint, options, cancellationToken)
            : OpenConnectionAsync(target.Host!, target.Port, options, cancellationToken);
    }

    /// <summary>Starts a server on a URL.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="url">
    /// <c>tcp://host:port</c>, <c>tls://host:port</c> (<c>*</c> is all interfaces, port 0 a free one), <c>unix:/path</c> or <c>unix:@name</c>.
    /// </param>
    /// <param name="options">Null takes every default. <c>tls://</c> requires <see cref="ByteStreamServerOptions.Tls"/> or <c>UseTls</c>.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server.</returns>
    /// <exception cref="ArgumentException">The URL is not valid, or it is <c>tls://</c> without a certificate; the message has the remedy.</exception>
    /// <exception cref="AddressInUseException">The address is in use; the message names it.</exception>
    /// <exception cref="IOException">The address cannot be bound for another cause, which the message names with it.</exception>
    public static Task<ByteStreamServer> StartServerAsync(
        ByteStreamDelegate clientConnected, string url, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(url);
        if (!EndpointUrl.TryParse(url, out EndpointUrl? place, out string? error))
        {
            throw new ArgumentException($"The URL {error}", nameof(url));
        }

        if (place.Descriptor is not null)
        {
            throw new ArgumentException(
                $"The URL '{url}' is a socket that systemd passes, which configured endpoints take. Pass the Socket itself instead.", nameof(url));
        }

        if (place.IsTls && options is not ({ Tls: not null } or { UsedTls: not null }))
        {
            throw new ArgumentException(
                $"The URL '{url}' needs a certificate. Set ByteStreamServerOptions.Tls or call UseTls, or write tcp:// for a plain server.", nameof(url));
        }

        return place.EndPoint is EndPoint endPoint
            ? StartServerAsync(clientConnected, endPoint, options, cancellationToken)
            : StartServerAsync(clientConnected, place.Host, place.Port, options, cancellationToken);
    }

    /// <inheritdoc cref="StartServerAsync(ByteStreamDelegate, string, ByteStreamServerOptions?, CancellationToken)"/>
    public static Task<ByteStreamServer> StartServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, string url, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(CallbackAdapter.Adapt(clientConnected), url, options, cancellationToken);
}

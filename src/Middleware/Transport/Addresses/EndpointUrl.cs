using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Unix;

namespace ByteStreams;

/// <summary>
/// The URL of an endpoint: <c>tcp://host:port</c> (<c>*</c> is all interfaces, port 0 a free port), <c>tls://host:port</c>, <c>unix:/path</c>,
/// <c>unix:@name</c> in Linux's abstract namespace, or <c>fd:name</c> for a socket that systemd passes. <c>{temp}</c> in a path is the
/// temporary folder.
/// </summary>
public sealed record EndpointUrl
{
    /// <summary>For schemas: it rejects an unknown scheme, and leaves the rest to <see cref="Parse"/>.</summary>
    internal const string Pattern = "^(tcp://|tls://|unix:|fd:).+$";

    /// <summary>The forms that an endpoint's key takes.</summary>
    internal const string Takes = "tcp://host:port, tls://host:port, unix:/path, unix:@name or fd:name";

    private const string SchemeDelimiter = "://";

    /// <summary>A hint for a URL that is listened on.</summary>
    private const string AnyPort = "; port 0 takes a free one";

    private const string Forms = "tcp://host:port, tls://host:port, unix:/path or unix:@name";

    private EndpointUrl(string? host, int port, EndPoint? endPoint)
    {
        Host = host;
        Port = port;
        EndPoint = endPoint;
    }

    /// <summary>The host name or address of a TCP URL; empty for all interfaces. Null for other URLs.</summary>
    public string? Host { get; }

    /// <summary>The port of a TCP URL, 0 for a free one. 0 for other URLs.</summary>
    public int Port { get; }

    /// <summary>Whether the scheme is <c>tls</c>.</summary>
    public bool IsTls { get; private init; }

    /// <summary>The name of a socket that systemd passes. Null for other URLs.</summary>
    public string? Descriptor { get; private init; }

    /// <summary>The address of a Unix URL. Null for other URLs.</summary>
    public EndPoint? EndPoint { get; }

    /// <summary>Whether another URL has the same listeners, with or without TLS.</summary>
    internal bool IsSamePlace(EndpointUrl other) => this with { IsTls = false } == other with { IsTls = false };

    /// <summary>The URL as text; parsing it returns an equal URL.</summary>
    public override string ToString() => Descriptor is not null
        ? $"fd:{Descriptor}"
        : Host is null
        ? $"unix:{EndPoint!.ToString()!.Replace('\0', '@')}"
        : string.Create(CultureInfo.InvariantCulture, $"{(IsTls ? "tls" : "tcp")}://{(Host.Length == 0 ? "*" : Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)}:{Port}");

    /// <summary>Formats the address of a listener as a URL.</summary>
    /// <param name="endPoint">The address, such as one of <see cref="ByteStreamServer.EndPoints"/>.</param>
    /// <param name="isTls">Whether clients speak TLS.</param>
    public static string Format(EndPoint endPoint, bool isTls) => endPoint switch
    {
        // The runtime writes an abstract name with a leading zero or @.
        UnixDomainSocketEndPoint => $"unix:{endPoint.ToString()!.Replace('\0', '@')}",
        _ => $"{(isTls ? "tls" : "tcp")}://{endPoint}",
    };

    /// <summary>Parses the URL of an endpoint.</summary>
    /// <param name="text">The text.</param>
    /// <param name="url">The URL; null if the text is not valid.</param>
    /// <param name="error">The cause and the remedy; null if the text is valid.</param>
    /// <returns>Whether the text is valid. Whether the host exists is not examined.</returns>
    public static bool TryParse(string? text, [NotNullWhen(true)] out EndpointUrl? url, [NotNullWhen(false)] out string? error)
    {
        url = Parse(text, out error);
        return url is not null;
    }

    /// <summary>Parses a URL to connect to: a host and a port other than 0, or a Unix socket.</summary>
    /// <param name="text">The text.</param>
    /// <param name="url">The URL; null if the text is not valid.</param>
    /// <param name="error">The cause and the remedy; null if the text is valid.</param>
    /// <returns>Whether the text is valid. Whether the host exists is not examined.</returns>
    public static bool TryParseTarget(string? text, [NotNullWhen(true)] out EndpointUrl? url, [NotNullWhen(false)] out string? error)
    {
        url = ParseTarget(text, out error);
        return url is not null;
    }

    /// <summary>Parses <c>scheme://host:port</c> with a scheme of the program's own, such as <c>http</c>.</summary>
    /// <param name="text">The text, with its scheme.</param>
    /// <param name="forms">The forms that the program accepts, for the error.</param>
    /// <param name="url">The host and the port; null if the text is not valid.</param>
    /// <param name="error">The cause and the remedy; null if the text is valid.</param>
    /// <returns>Whether the text is valid.</returns>
    /// <exception cref="ArgumentException">The text has no scheme.</exception>
    public static bool TryParseHostAndPort(
        string text, string forms, [NotNullWhen(true)] out EndpointUrl? url, [NotNullWhen(false)] out string? error)
    {
        ArgumentNullException.ThrowIfNull(text);
        int scheme = text.IndexOf(SchemeDelimiter, StringComparison.Ordinal);
        if (scheme < 1)
        {
            throw new ArgumentException($"'{text}' has no scheme.", nameof(text));
        }

        url = ParseTcp(text, text[(scheme + SchemeDelimiter.Length)..], forms, out error);
        return url is not null;
    }

    /// <summary>As <see cref="TryParse"/>.</summary>
    internal static EndpointUrl? Parse(string? text, out string? error)
    {
        EndpointUrl? url;
        if (string.IsNullOrWhiteSpace(text))
        {
            (url, error) = (null, $"is missing. Write {Forms}.");
        }
        else if (text.StartsWith("tcp://", StringComparison.OrdinalIgnoreCase))
        {
            url = ParseTcp(text, text["tcp://".Length..], Forms, out error);
        }
        else if (text.StartsWith("tls://", StringComparison.OrdinalIgnoreCase))
        {
            EndpointUrl? tcp = ParseTcp(text, text["tls://".Length..], Forms, out error);
            url = tcp is null ? null : tcp with { IsTls = true };
        }
        else if (text.StartsWith("fd:", StringComparison.OrdinalIgnoreCase))
        {
            url = ParseDescriptor(text["fd:".Length..], out error);
        }
        else if (text.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
        {
            url = ParseUnix(text["unix:".Length..], out error);
        }
        else
        {
            (url, error) = (null, $"'{text}' has no known scheme. Write {Forms}.");
        }

        return url;
    }

    /// <summary>As <see cref="TryParseTarget"/>.</summary>
    internal static EndpointUrl? ParseTarget(string? text, out string? error)
    {
        EndpointUrl? url = Parse(text, out error);
        if (url is null)
        {
            error = error!.Replace(AnyPort, string.Empty, StringComparison.Ordinal);
            return null;
        }

        if (url is { EndPoint: null } and ({ Host: null or "" } or { Port: 0 }))
        {
            error = $"'{text}' can be listened on, and not connected to. Write a host and a port other than 0.";
            return null;
        }

        return url;
    }

    /// <summary>The addresses that it stands for; none for a socket that was handed over, which has its own.</summary>
    internal async Task<IReadOnlyList<EndPoint>> ResolveAsync(ByteStreamListenOptions options, CancellationToken cancellationToken) =>
        EndPoint is not null ? [EndPoint] : Descriptor is not null ? [] : await HostAddresses.ForListeningAsync([Host!], Port, options, cancellationToken).ConfigureAwait(false);

    private static EndpointUrl? ParseDescriptor(string name, out string? error)
    {
        // systemd.socket(5), FileDescriptorName=: ASCII without control characters and colons, 255 at most.
        if (name.Length is 0 or > 255 || name.Contains(':', StringComparison.Ordinal) || name.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            error = $"'fd:{name}' has no name of a socket. Write what the systemd socket unit has as FileDescriptorName, or else the unit's own name: fd:web.socket.";
            return null;
        }

        error = null;
        return new EndpointUrl(null, 0, null) { Descriptor = name };
    }

    /// <summary>Reads what follows the scheme of <paramref name="text"/>.</summary>
    private static EndpointUrl? ParseTcp(string text, string authority, string forms, out string? error)
    {
        string scheme = text[..text.IndexOf(':', StringComparison.Ordinal)].ToLowerInvariant();
        string rest = authority.TrimEnd('/');
        int colon = rest.LastIndexOf(':');
        // An IPv6 address has colons of its own, in brackets.
        if (colon < 0 || rest.IndexOf(']', StringComparison.Ordinal) > colon)
        {
            error = $"'{text}' has no port. Write {scheme}://host:port{AnyPort}.";
            return null;
        }

        string host = rest[..colon];
        if (host.StartsWith('[') && host.EndsWith(']'))
        {
            host = host[1..^1];
        }
        else if (host.Contains(':', StringComparison.Ordinal))
        {
            error = $"'{text}' has an IPv6 address without brackets. Write {scheme}://[{host}]:{rest[(colon + 1)..]}.";
            return null;
        }

        if (!int.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port > 65535)
        {
            error = $"'{text}' has the port '{rest[(colon + 1)..]}'. A port is a number from 0 to 65535.";
            return null;
        }

        if (host is not ("" or "*") && Uri.CheckHostName(host) == UriHostNameType.Unknown)
        {
            error = $"'{text}' has the host '{host}', which is no name and no address. Write {forms}.";
            return null;
        }

        error = null;
        return new EndpointUrl(host == "*" ? string.Empty : host, port, null);
    }

    private static EndpointUrl? ParseUnix(string path, out string? error)
    {
        string expanded = path.Replace("{temp}", Path.TrimEndingDirectorySeparator(Path.GetTempPath()), StringComparison.OrdinalIgnoreCase);
        if (expanded.StartsWith("//", StringComparison.Ordinal))
        {
            // unix:///run/x.sock is how others write unix:/run/x.sock; to the system, any number of slashes is one.
            expanded = "/" + expanded.TrimStart('/');
        }

        if (expanded.Length == 0 || expanded == "@")
        {
            error = $"'unix:{path}' has no path. Write {Forms}.";
            return null;
        }

        if (expanded[0] != '@' && !Path.IsPathRooted(expanded))
        {
            error = $"'unix:{path}' is a relative path, which would depend on where the program is started. Write unix:/path with the whole path.";
            return null;
        }

        try
        {
            error = null;
            return new EndpointUrl(null, 0, UnixSocketPath.ToEndPoint(expanded));
        }
        catch (Exception wrong) when (wrong is ArgumentException or PlatformNotSupportedException)
        {
            error = ValidationErrors.GetMessage(wrong);
            return null;
        }
    }
}

using System.Diagnostics.CodeAnalysis;
using ByteStreams;

namespace StreamsHost.Admin;

/// <summary>The URLs of the HTTP side: <c>http://host:port</c>, and those of Unix sockets as endpoints have them.</summary>
internal static class AdminUrl
{
    public const string Forms = "http://host:port, unix:/path or unix:@name";

    private const string Http = "http://";

    /// <summary>Parses a URL; <paramref name="error"/> has the cause and the remedy.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out EndpointUrl? url, [NotNullWhen(false)] out string? error)
    {
        if (text.StartsWith(Http, StringComparison.OrdinalIgnoreCase))
        {
            return EndpointUrl.TryParseHostAndPort(text, Forms, out url, out error);
        }

        if (text.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
        {
            return EndpointUrl.TryParse(text, out url, out error);
        }

        url = null;
        error = text.StartsWith("https://", StringComparison.OrdinalIgnoreCase)
            ? $"'{text}' is HTTPS, which is not supported here. Write {Forms}, and put an endpoint with TLS and the handler relay in front of it."
            : $"'{text}' has no known scheme. Write {Forms}.";
        return false;
    }
}

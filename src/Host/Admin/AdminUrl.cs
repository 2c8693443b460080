using ByteStreams.Transport.Addresses;

namespace StreamsHost.Admin;

/// <summary>Where the HTTP side listens, as it is written; a socket is written as an endpoint's is.</summary>
internal static class AdminUrl
{
    public const string Forms = "http://host:port, unix:/path or unix:@name";

    private const string Http = "http://";

    /// <summary>Reads a URL; <paramref name="wrong"/> names the cause and the remedy where that fails.</summary>
    public static EndpointUrl? Parse(string text, out string? wrong)
    {
        if (text.StartsWith(Http, StringComparison.OrdinalIgnoreCase))
        {
            return EndpointUrl.ParseTcp(text, text[Http.Length..], Forms, out wrong);
        }

        if (text.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
        {
            return EndpointUrl.Parse(text, out wrong);
        }

        wrong = text.StartsWith("https://", StringComparison.OrdinalIgnoreCase)
            ? $"'{text}' is HTTPS, which is not spoken here. Write {Forms}, and put an endpoint with TLS and the handler relay in front of it."
            : $"'{text}' has no known scheme. Write {Forms}.";
        return null;
    }
}

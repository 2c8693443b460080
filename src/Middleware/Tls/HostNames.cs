namespace ByteStreams.Tls;

/// <summary>The host names of a certificate: exact names, and wildcards for one label.</summary>
internal sealed class HostNames
{
    private readonly HashSet<string> _hosts = new(StringComparer.OrdinalIgnoreCase);
    private readonly HashSet<string> _wildcards = new(StringComparer.OrdinalIgnoreCase);

    public HostNames(IEnumerable<string> hosts)
    {
        foreach (string host in hosts)
        {
            _ = host.StartsWith("*.", StringComparison.Ordinal) ? _wildcards.Add(host[1..]) : _hosts.Add(host);
        }
    }

    public bool Contains(string host) => _hosts.Contains(host);

    public bool MatchesWildcard(string host)
    {
        int dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && _wildcards.Contains(host[dot..]);
    }

    /// <summary>Returns whether a text is a valid host name of a certificate: a DNS name, with or without <c>*.</c>, or an IP address; no scheme, no port.</summary>
    public static bool IsValid(string text) =>
        Uri.CheckHostName(text.StartsWith("*.", StringComparison.Ordinal) ? text[2..] : text) is UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6;
}

namespace ByteStreams.Tls;

/// <summary>The names that a certificate serves: exact ones, and wildcards for one label.</summary>
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

    public bool Serves(string host) => _hosts.Contains(host);

    public bool ServesByWildcard(string host)
    {
        int dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && _wildcards.Contains(host[dot..]);
    }

    /// <summary>Whether a text can be the name of a host in a ClientHello or a certificate: <c>*.</c> in front and addresses included, schemes and ports not.</summary>
    public static bool IsName(string text) =>
        Uri.CheckHostName(text.StartsWith("*.", StringComparison.Ordinal) ? text[2..] : text) is UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6;
}

using ByteStreams.Relay;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;

namespace ByteStreams;

/// <summary>Where a <see cref="ByteStreamRelay"/> passes connections on to, and how.</summary>
public sealed class RelayOptions
{
    /// <summary>
    /// Where connections are passed on to: <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c> or <c>unix:@name</c>. At least one.
    /// A host's addresses are taken in turn.
    /// </summary>
    public IList<string> Upstreams { get; } = [];

    /// <summary>Which upstream gets a connection: <c>LeastConnections</c> by default.</summary>
    public LoadBalancing LoadBalancing { get; set; }

    /// <summary>How long one attempt to connect may take, TLS included: 5 s by default, greater than zero.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How many other upstreams are tried where one cannot be connected to: 2 by default, zero or more. Then the client's connection is
    /// reset. A connection that stood is never moved: nobody knows what the upstream did with its bytes.
    /// </summary>
    public int Retries { get; set; } = 2;

    /// <summary>
    /// After so many failed attempts in a row an upstream gets no connections for <see cref="EjectFor"/>: 3 by default; 0 never ejects.
    /// Where all are out, all are tried: it cannot be worse than refusing.
    /// </summary>
    public int EjectAfter { get; set; } = 3;

    /// <summary>How long an upstream stays out: 10 s by default, greater than zero. Behind it one failure is enough to eject it again.</summary>
    public TimeSpan EjectFor { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often each upstream is checked by a connection that is closed at once. No checks by default.</summary>
    public TimeSpan? HealthCheckInterval { get; set; }

    /// <summary>How long a check may take: 2 s by default, greater than zero.</summary>
    public TimeSpan HealthCheckTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>So many failed checks in a row make an upstream unhealthy: 3 by default, at least 1. It gets no connections then.</summary>
    public int UnhealthyAfter { get; set; } = 3;

    /// <summary>So many good checks in a row make it healthy again: 2 by default, at least 1.</summary>
    public int HealthyAfter { get; set; } = 2;

    /// <summary>How often upstreams' names are resolved again: 30 s by default, at least 1 s. Addresses that were good stay where that fails.</summary>
    public TimeSpan ResolveInterval { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether the health check <c>AddByteStreams</c>, and with it <c>/readyz</c> of StreamsHost, fails while no upstream is up: false by default. An
    /// upstream is up while it is neither unhealthy nor ejected, so that <see cref="HealthCheckInterval"/> should be set: without checks
    /// only connections of clients show that it is down, and an upstream counts as up again after <see cref="EjectFor"/>. Where several instances
    /// share their upstreams, all of them fail at once, and a load balancer before them has none left.
    /// </summary>
    public bool Readiness { get; set; }

    /// <summary>
    /// Whether a PROXY header tells the upstream who the client is, before anything else is sent to it: not by default. Where a header
    /// told it here, that client is forwarded; health checks say that they are the relay's own. The upstream has to expect it.
    /// </summary>
    public SendProxyHeader SendProxyHeader { get; set; }

    /// <summary>
    /// While the server stops, a connection on which nothing has moved for so long is closed cleanly: 1 s by default, greater than zero.
    /// The relay cannot know where a message ends: a connection that is silent counts as between two, except as
    /// <see cref="DrainWaitsForAnswer"/> says.
    /// </summary>
    public TimeSpan DrainQuiet { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Whether a stop waits, within <c>DrainTimeout</c>, for a connection whose client was the last to send, because the answer has not begun:
    /// true by default. False is for protocols without answers, such as a log's: their connections end after <see cref="DrainQuiet"/> too,
    /// cleanly, also within a request.
    /// </summary>
    public bool DrainWaitsForAnswer { get; set; } = true;

    /// <summary>TLS towards <c>tls://</c> upstreams. Files are read when the relay starts, and again for new connections when they have changed.</summary>
    public TlsClientOptions Tls { get; } = new();

    /// <summary>
    /// The socket options of upstream connections. Keep-alive is on by default, with a first probe after 60 s and one each 10 s, and
    /// <see cref="ByteStreamTransportOptions.TcpUserTimeout"/> is 5 min, so that an upstream that has vanished does not hold its connections.
    /// Its <c>Tls</c>, <c>ConnectTimeout</c> and <c>TlsRequireCloseNotify</c> are not used.
    /// </summary>
    public ByteStreamClientOptions Connection { get; set; } = new UpstreamConnectionOptions();

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => Mistake.ThrowIfAny(Mistakes());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> Mistakes()
    {
        if (Upstreams.Count == 0)
        {
            yield return "Relay:Upstreams is empty: give at least one, such as tcp://host:port or unix:/path.";
        }

        for (int i = 0; i < Upstreams.Count; i++)
        {
            if (EndpointUrl.ParseTarget(Upstreams[i], out string? wrong) is null)
            {
                yield return $"Relay:Upstreams:{i}: {wrong}";
            }
        }

        foreach ((string name, TimeSpan time) in new[]
        {
            (nameof(ConnectTimeout), ConnectTimeout), (nameof(EjectFor), EjectFor), (nameof(HealthCheckTimeout), HealthCheckTimeout),
            (nameof(HealthCheckInterval), HealthCheckInterval ?? TimeSpan.MaxValue), (nameof(DrainQuiet), DrainQuiet),
        })
        {
            if (time <= TimeSpan.Zero)
            {
                yield return $"Relay:{name} is greater than zero.";
            }
        }

        if (ResolveInterval < TimeSpan.FromSeconds(1))
        {
            yield return "Relay:ResolveInterval is at least 1 s.";
        }

        if (Retries < 0 || EjectAfter < 0)
        {
            yield return "Relay:Retries and EjectAfter are zero or more.";
        }

        if (UnhealthyAfter < 1 || HealthyAfter < 1)
        {
            yield return "Relay:UnhealthyAfter and HealthyAfter are at least 1.";
        }
    }
}

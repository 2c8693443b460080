using System.Threading.RateLimiting;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>What happens to a connection for which there is no place.</summary>
public enum WhenFull
{
    /// <summary>It is refused at once.</summary>
    Refuse,

    /// <summary>It waits, unread, until another one ends.</summary>
    Queue,
}

/// <summary>How many connections an endpoint takes, and how fast.</summary>
public sealed class AdmissionOptions
{
    internal static OptionRanges<AdmissionOptions> Ranges { get; } = new(
        new NumberOption<AdmissionOptions>(nameof(MaxConnections), NumberRange.AtLeastOne, o => o.MaxConnections),
        new NumberOption<AdmissionOptions>(nameof(MaxConnectionsPerClient), NumberRange.AtLeastOne, o => o.MaxConnectionsPerClient),
        new NumberOption<AdmissionOptions>(nameof(IPv4PrefixLength), new(0, 32), o => o.IPv4PrefixLength),
        new NumberOption<AdmissionOptions>(nameof(IPv6PrefixLength), new(0, 128), o => o.IPv6PrefixLength),
        new NumberOption<AdmissionOptions>(nameof(ConnectionsPerSecond), NumberRange.AtLeastOne, o => o.ConnectionsPerSecond),
        new NumberOption<AdmissionOptions>(nameof(Burst), NumberRange.AtLeastOne, o => o.Burst),
        new NumberOption<AdmissionOptions>(nameof(ConnectionsPerSecondPerClient), NumberRange.AtLeastOne, o => o.ConnectionsPerSecondPerClient),
        new NumberOption<AdmissionOptions>(nameof(BurstPerClient), NumberRange.AtLeastOne, o => o.BurstPerClient),
        new NumberOption<AdmissionOptions>(nameof(MaxTrackedClients), new(2), o => o.MaxTrackedClients),
        new NumberOption<AdmissionOptions>(nameof(QueueLength), NumberRange.AtLeastOne, o => o.QueueLength),
        new NumberOption<AdmissionOptions>(nameof(QueueLengthPerClient), NumberRange.AtLeastOne, o => o.QueueLengthPerClient),
        new DurationOption<AdmissionOptions>(nameof(QueueTimeout), DurationRange.Positive, o => o.QueueTimeout));

    /// <summary>Connections of the endpoint at once, at least 1. No limit but the total one by default.</summary>
    public int? MaxConnections { get; set; }

    /// <summary>
    /// Connections of one client at once, at least 1; a client is a network of <see cref="IPv4PrefixLength"/> or
    /// <see cref="IPv6PrefixLength"/>. No limit by default. Unix sockets have no such clients. On an endpoint that receives PROXY
    /// headers the client is the one that they name.
    /// </summary>
    public int? MaxConnectionsPerClient { get; set; }

    /// <summary>How many bits of an IPv4 address make a client: 32 by default, 0 to 32.</summary>
    public int IPv4PrefixLength { get; set; } = 32;

    /// <summary>How many bits of an IPv6 address make a client: 64 by default, as providers give each household one such network; 0 to 128.</summary>
    public int IPv6PrefixLength { get; set; } = 64;

    /// <summary>New connections a second that the endpoint takes on average, at least 1. No limit by default.</summary>
    public int? ConnectionsPerSecond { get; set; }

    /// <summary>New connections that it takes at once, when few have come before: a second's by default, at least 1.</summary>
    public int? Burst { get; set; }

    /// <summary>New connections a second from one client, at least 1. No limit by default.</summary>
    public int? ConnectionsPerSecondPerClient { get; set; }

    /// <summary>New connections from one client at once: a second's by default, at least 1.</summary>
    public int? BurstPerClient { get; set; }

    /// <summary>
    /// Clients whose rate is remembered, at least 2: 1,000,000 by default. Beyond it the longest unseen are forgotten; one costs
    /// about 300 bytes while it is remembered.
    /// </summary>
    public int MaxTrackedClients { get; set; } = 1_000_000;

    /// <summary>What happens when all places (the endpoint's, or those of all endpoints together) are taken: <see cref="WhenFull.Refuse"/> by default.</summary>
    public WhenFull WhenFull { get; set; }

    /// <summary>Connections that may wait for a place: 1,024 by default, at least 1. The next is refused. Each costs its socket and about 2 KiB.</summary>
    public int QueueLength { get; set; } = 1024;

    /// <summary>
    /// Connections of one client that may wait for a place: a quarter of <see cref="QueueLength"/> by default, at least 1. The next is
    /// refused. Raise it to <see cref="QueueLength"/> where all clients share one address. Unix sockets have no such clients.
    /// </summary>
    public int? QueueLengthPerClient { get; set; }

    /// <summary>How long one waits: 10 s by default, greater than zero.</summary>
    public TimeSpan QueueTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Sent to a refused connection before its end, in UTF-8, such as <c>421 too many connections\r\n</c>; nothing by default, and
    /// the connection is reset. It is sent as it is, also where the endpoint speaks TLS.
    /// </summary>
    public string? Banner { get; set; }

    /// <summary>
    /// A limiter of one's own over connections, beside the rates above: a connection whose lease is not acquired is refused
    /// (<see cref="ConnectionCloseReason.RefusedRate"/>); a lease is disposed with its connection. Not disposed here.
    /// </summary>
    public PartitionedRateLimiter<ConnectionContext>? RateLimiter { get; set; }

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> GetErrors()
    {
        foreach (string error in Ranges.Validate(this, "Admission:"))
        {
            yield return error;
        }

        if (Burst is not null && ConnectionsPerSecond is null)
        {
            yield return "Admission:Burst needs ConnectionsPerSecond.";
        }

        if (BurstPerClient is not null && ConnectionsPerSecondPerClient is null)
        {
            yield return "Admission:BurstPerClient needs ConnectionsPerSecondPerClient.";
        }
    }
}

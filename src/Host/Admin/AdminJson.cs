using System.Text.Json.Serialization;

namespace StreamsHost.Admin;

/// <summary>The JSON responses, serialized by generated code because the host is compiled ahead of time too.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(HealthAnswer))]
[JsonSerializable(typeof(ConnectionsAnswer))]
[JsonSerializable(typeof(EndpointsAnswer))]
[JsonSerializable(typeof(StateAnswer))]
[JsonSerializable(typeof(SampleAnswer))]
[JsonSerializable(typeof(HistoryAnswer))]
internal sealed partial class AdminJson : JsonSerializerContext;

/// <param name="Ok">Whether all is well.</param>
/// <param name="Checks">What was looked at.</param>
internal sealed record HealthAnswer(bool Ok, IReadOnlyList<CheckAnswer> Checks);

internal sealed record CheckAnswer(string Name, bool Ok, string? Reason);

/// <param name="State">serving, draining or drained.</param>
internal sealed record StateAnswer(string State);

/// <param name="Active">Connections that are open, of all endpoints.</param>
/// <param name="Connections">Some of them, the newest first.</param>
/// <param name="Before">What to ask for as <c>before</c> to go on; null where these were the last.</param>
internal sealed record ConnectionsAnswer(int Active, IReadOnlyList<ConnectionAnswer> Connections, long? Before);

/// <summary>A connection. Names are as the peer sent them.</summary>
internal sealed record ConnectionAnswer(
    string Id,
    string Endpoint,
    string? Handler,
    string? Peer,
    string? Proxy,
    string? TlsVersion,
    string? ServerName,
    string? ClientName,
    string? Upstream,
    long BytesReceived,
    long BytesSent,
    double AgeSeconds,
    double? IdleSeconds,
    string? CloseReason);

/// <param name="Version">The host's.</param>
/// <param name="State">serving, draining or drained.</param>
/// <param name="AllowChanges">Whether drain and ending connections are allowed.</param>
/// <param name="UptimeSeconds">Since the start of the process.</param>
/// <param name="Active">Connections that are open.</param>
/// <param name="LastReload">How the configuration was read last; null before the start.</param>
/// <param name="Groups">The registered connections and their groups.</param>
/// <param name="Endpoints">The endpoints, in their order.</param>
internal sealed record EndpointsAnswer(
    string Version,
    string State,
    bool AllowChanges,
    double UptimeSeconds,
    int Active,
    ReloadAnswer? LastReload,
    GroupsAnswer Groups,
    IReadOnlyList<EndpointAnswer> Endpoints);

/// <param name="Registered">The number of registered connections.</param>
/// <param name="Count">The number of groups with at least one member.</param>
/// <param name="Sends">Messages sent since the start; a message counts once.</param>
/// <param name="Deliveries">Messages delivered since the start; a message counts once for each connection.</param>
/// <param name="Largest">The largest groups, 20 at most.</param>
internal sealed record GroupsAnswer(int Registered, int Count, long Sends, long Deliveries, IReadOnlyList<GroupAnswer> Largest);

internal sealed record GroupAnswer(string Name, int Members);

/// <param name="Time">When it ended.</param>
/// <param name="Ok">Whether everything was taken over.</param>
/// <param name="Errors">How many errors kept something from being taken over; the log has them all.</param>
/// <param name="FirstError">The first of them.</param>
internal sealed record ReloadAnswer(DateTimeOffset Time, bool Ok, int Errors, string? FirstError);

internal sealed record EndpointAnswer(
    string Name,
    string? Url,
    IReadOnlyList<string> Addresses,
    string? Handler,
    bool Serving,
    int Active,
    int Handshakes,
    long Accepted,
    long Refused,
    IReadOnlyDictionary<string, long> RefusedBy,
    IReadOnlyDictionary<string, long> EndedBy,
    long BytesReceived,
    long BytesSent,
    IReadOnlyList<CertificateAnswer> Certificates,
    string? ClientAuthoritiesError,
    IReadOnlyList<UpstreamAnswer> Upstreams);

/// <param name="Subject">Its common name, else its first host name.</param>
/// <param name="NotAfter">When it expires.</param>
/// <param name="Error">Why its file cannot be used since it was changed; null if it can.</param>
internal sealed record CertificateAnswer(string Subject, DateTimeOffset NotAfter, string? Error);

internal sealed record UpstreamAnswer(string Name, int Active, bool Healthy, bool Ejected);

/// <summary>All counts at one moment; rates are what lies between two of them.</summary>
/// <param name="Time">Milliseconds since 1970.</param>
/// <param name="Total">Of all endpoints: active, accepted, refused, bytes received, bytes sent.</param>
/// <param name="Endpoints">The same of each endpoint.</param>
/// <param name="Ended">Connections that have ended since the last one, at most 50.</param>
internal sealed record SampleAnswer(
    long Time, IReadOnlyList<long> Total, IReadOnlyDictionary<string, IReadOnlyList<long>> Endpoints, IReadOnlyList<ConnectionAnswer> Ended);

/// <param name="Samples">The samples of the last five minutes in which anybody looked, the oldest first.</param>
internal sealed record HistoryAnswer(IReadOnlyList<SampleAnswer> Samples);

using System.Security.Cryptography.X509Certificates;
using ByteStreams.Relay;
using ByteStreams.Transport.Validation;
using static ByteStreams.Configuration.Settings;

namespace ByteStreams.Configuration;

/// <summary>The configuration keys. Reading, errors, documentation and schema use this table.</summary>
internal static class EndpointTable
{
    private const string Networks = "networks such as 10.0.0.0/8, single addresses, or unix";
    private const string FilePath = "the path of a file";

    private static readonly OptionRanges<ByteStreamServerOptions> TransportRanges = ByteStreamTransportOptions.Ranges.For<ByteStreamServerOptions>();

    private static readonly OptionRanges<ByteStreamServerOptions> ListenRanges = ByteStreamListenOptions.Ranges.For<ByteStreamServerOptions>();

    /// <summary>The source of a certificate, of a server or a client.</summary>
    private static readonly Setting<TlsCertificateOptions>[] CertificateSource =
    [
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.Path), FilePath, o => o.Path, (o, v) => o.Path = v),
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.KeyPath), FilePath, o => o.KeyPath, (o, v) => o.KeyPath = v),
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.Password), "a text", o => o.Password, (o, v) => o.Password = v),
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.Store), "the name of a store, such as My", o => o.Store, (o, v) => o.Store = v),
        Choice<TlsCertificateOptions, StoreLocation>(nameof(TlsCertificateOptions.StoreLocation), o => o.StoreLocation, (o, v) => o.StoreLocation = v),
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.Subject), "a text", o => o.Subject, (o, v) => o.Subject = v),
        Text<TlsCertificateOptions>(nameof(TlsCertificateOptions.Thumbprint), "a thumbprint", o => o.Thumbprint, (o, v) => o.Thumbprint = v),
    ];

    private static readonly SettingTable<TlsCertificateOptions> Certificate = new(
    [
        .. CertificateSource,
        List<TlsCertificateOptions>(nameof(TlsCertificateOptions.Hosts), "host names", o => o.Hosts),
        Flag<TlsCertificateOptions>(nameof(TlsCertificateOptions.Default), o => o.Default, (o, v) => o.Default = v),
    ]);

    private static readonly SettingTable<TlsServerOptions> Tls = new(
        new SectionListSetting<TlsServerOptions, TlsCertificateOptions>(nameof(TlsServerOptions.Certificates), o => o.Certificates, Certificate),
        Choice<TlsServerOptions, TlsEngine>(nameof(TlsServerOptions.Engine), o => o.Engine, (o, v) => o.Engine = v),
        Choice<TlsServerOptions, TlsVersion>(nameof(TlsServerOptions.MinimumVersion), o => o.MinimumVersion, (o, v) => o.MinimumVersion = v),
        Choice<TlsServerOptions, TlsVersion>(nameof(TlsServerOptions.MaximumVersion), o => o.MaximumVersion, (o, v) => o.MaximumVersion = v),
        List<TlsServerOptions>(nameof(TlsServerOptions.ApplicationProtocols), "names of protocols", o => o.ApplicationProtocols),
        Choice<TlsServerOptions, ClientCertificates>(nameof(TlsServerOptions.ClientCertificates), o => o.ClientCertificates, (o, v) => o.ClientCertificates = v),
        Text<TlsServerOptions>(nameof(TlsServerOptions.ClientCaPath), FilePath, o => o.ClientCaPath, (o, v) => o.ClientCaPath = v),
        Choice<TlsServerOptions, X509RevocationMode>(nameof(TlsServerOptions.ClientRevocation), o => o.ClientRevocation, (o, v) => o.ClientRevocation = v),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedCommonNames), "common names", o => o.AllowedCommonNames),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedDnsNames), "host names", o => o.AllowedDnsNames),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedUris), "URIs", o => o.AllowedUris),
        Time(TlsServerOptions.Ranges, nameof(TlsServerOptions.HandshakeTimeout), (o, v) => o.HandshakeTimeout = v),
        Number(TlsServerOptions.Ranges, nameof(TlsServerOptions.MaxHandshakes), (o, v) => o.MaxHandshakes = v),
        Number(TlsServerOptions.Ranges, nameof(TlsServerOptions.MaxHandshakeSize), (o, v) => o.MaxHandshakeSize = v),
        Time(TlsServerOptions.Ranges, nameof(TlsServerOptions.ShutdownTimeout), (o, v) => o.ShutdownTimeout = v),
        OptionalFlag<TlsServerOptions>(nameof(TlsServerOptions.RequireCloseNotify), o => o.RequireCloseNotify, (o, v) => o.RequireCloseNotify = v),
        Flag<TlsServerOptions>(nameof(TlsServerOptions.StapleOcsp), o => o.StapleOcsp, (o, v) => o.StapleOcsp = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<ProxyProtocolOptions> ProxyProtocol = new(
        List<ProxyProtocolOptions>(nameof(ProxyProtocolOptions.TrustedNetworks), Networks, o => o.TrustedNetworks),
        Time(ProxyProtocolOptions.Ranges, nameof(ProxyProtocolOptions.Timeout), (o, v) => o.Timeout = v),
        Number(ProxyProtocolOptions.Ranges, nameof(ProxyProtocolOptions.MaxHeaderBytes), (o, v) => o.MaxHeaderBytes = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<AdmissionOptions> Admission = new(
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.MaxConnections), (o, v) => o.MaxConnections = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.MaxConnectionsPerClient), (o, v) => o.MaxConnectionsPerClient = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.IPv4PrefixLength), (o, v) => o.IPv4PrefixLength = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.IPv6PrefixLength), (o, v) => o.IPv6PrefixLength = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.ConnectionsPerSecond), (o, v) => o.ConnectionsPerSecond = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.Burst), (o, v) => o.Burst = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.ConnectionsPerSecondPerClient), (o, v) => o.ConnectionsPerSecondPerClient = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.BurstPerClient), (o, v) => o.BurstPerClient = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.MaxTrackedClients), (o, v) => o.MaxTrackedClients = v),
        Choice<AdmissionOptions, WhenFull>(nameof(AdmissionOptions.WhenFull), o => o.WhenFull, (o, v) => o.WhenFull = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.QueueLength), (o, v) => o.QueueLength = v),
        Number(AdmissionOptions.Ranges, nameof(AdmissionOptions.QueueLengthPerClient), (o, v) => o.QueueLengthPerClient = v),
        Time(AdmissionOptions.Ranges, nameof(AdmissionOptions.QueueTimeout), (o, v) => o.QueueTimeout = v),
        Text<AdmissionOptions>(nameof(AdmissionOptions.Banner), "a text", o => o.Banner, (o, v) => o.Banner = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<AccessListOptions> Access = new(
        List<AccessListOptions>(nameof(AccessListOptions.Allow), Networks, o => o.Allow),
        List<AccessListOptions>(nameof(AccessListOptions.Deny), Networks, o => o.Deny),
        List<AccessListOptions>(nameof(AccessListOptions.AllowedUsers), "names or numbers of users", o => o.AllowedUsers),
        List<AccessListOptions>(nameof(AccessListOptions.AllowedGroups), "names or numbers of groups", o => o.AllowedGroups))
    { CanBeDisabled = true };

    private static readonly SettingTable<TlsCertificateOptions> ClientCertificate = new(CertificateSource);

    private static readonly SettingTable<TlsClientOptions> ClientTls = new(
        Text<TlsClientOptions>(nameof(TlsClientOptions.CaPath), FilePath, o => o.CaPath, (o, v) => o.CaPath = v),
        new InnerSectionSetting<TlsClientOptions, TlsCertificateOptions>(nameof(TlsClientOptions.Certificate), o => o.Certificate ??= new(), ClientCertificate),
        Text<TlsClientOptions>(nameof(TlsClientOptions.ServerName), "a host name", o => o.ServerName, (o, v) => o.ServerName = v),
        Choice<TlsClientOptions, TlsEngine>(nameof(TlsClientOptions.Engine), o => o.Engine, (o, v) => o.Engine = v),
        Choice<TlsClientOptions, TlsVersion>(nameof(TlsClientOptions.MinimumVersion), o => o.MinimumVersion, (o, v) => o.MinimumVersion = v),
        List<TlsClientOptions>(nameof(TlsClientOptions.ApplicationProtocols), "names of protocols", o => o.ApplicationProtocols),
        Choice<TlsClientOptions, X509RevocationMode>(nameof(TlsClientOptions.Revocation), o => o.Revocation, (o, v) => o.Revocation = v),
        Flag<TlsClientOptions>(nameof(TlsClientOptions.RequireCloseNotify), o => o.RequireCloseNotify, (o, v) => o.RequireCloseNotify = v));

    private static readonly SettingTable<RelayOptions> Relay = new(
        List<RelayOptions>(nameof(RelayOptions.Upstreams), "tcp://host:port, tls://host:port, unix:/path or unix:@name", o => o.Upstreams),
        Choice<RelayOptions, LoadBalancing>(nameof(RelayOptions.LoadBalancing), o => o.LoadBalancing, (o, v) => o.LoadBalancing = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.ConnectTimeout), (o, v) => o.ConnectTimeout = v),
        Number(RelayOptions.Ranges, nameof(RelayOptions.Retries), (o, v) => o.Retries = v),
        Number(RelayOptions.Ranges, nameof(RelayOptions.EjectAfter), (o, v) => o.EjectAfter = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.EjectFor), (o, v) => o.EjectFor = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.HealthCheckInterval), (o, v) => o.HealthCheckInterval = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.HealthCheckTimeout), (o, v) => o.HealthCheckTimeout = v),
        Number(RelayOptions.Ranges, nameof(RelayOptions.UnhealthyAfter), (o, v) => o.UnhealthyAfter = v),
        Number(RelayOptions.Ranges, nameof(RelayOptions.HealthyAfter), (o, v) => o.HealthyAfter = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.ResolveInterval), (o, v) => o.ResolveInterval = v),
        Flag<RelayOptions>(nameof(RelayOptions.Readiness), o => o.Readiness, (o, v) => o.Readiness = v),
        Choice<RelayOptions, SendProxyHeader>(nameof(RelayOptions.SendProxyHeader), o => o.SendProxyHeader, (o, v) => o.SendProxyHeader = v),
        Time(RelayOptions.Ranges, nameof(RelayOptions.DrainQuiet), (o, v) => o.DrainQuiet = v),
        Flag<RelayOptions>(nameof(RelayOptions.DrainWaitsForAnswer), o => o.DrainWaitsForAnswer, (o, v) => o.DrainWaitsForAnswer = v),
        new InnerSectionSetting<RelayOptions, TlsClientOptions>(nameof(RelayOptions.Tls), o => o.Tls, ClientTls),
        new InnerSectionSetting<RelayOptions, UpstreamConnectionOptions>(
            nameof(RelayOptions.Connection), o => (UpstreamConnectionOptions)o.Connection, new SettingTable<UpstreamConnectionOptions>(Tcp(ByteStreamTransportOptions.Ranges.For<UpstreamConnectionOptions>()))));

    private static readonly SettingTable<TimeoutOptions> Timeouts = new(
        Time(TimeoutOptions.Ranges, nameof(TimeoutOptions.FirstByte), (o, v) => o.FirstByte = v),
        Time(TimeoutOptions.Ranges, nameof(TimeoutOptions.ReceiveIdle), (o, v) => o.ReceiveIdle = v),
        TimeOrNone(TimeoutOptions.Ranges, nameof(TimeoutOptions.SendStall), (o, v) => o.SendStall = v),
        Number(TimeoutOptions.Ranges, nameof(TimeoutOptions.MinReceiveRate), (o, v) => o.MinReceiveRate = v),
        Time(TimeoutOptions.Ranges, nameof(TimeoutOptions.MinReceiveRateGrace), (o, v) => o.MinReceiveRateGrace = v),
        Time(TimeoutOptions.Ranges, nameof(TimeoutOptions.Lifetime), (o, v) => o.Lifetime = v),
        Time(TimeoutOptions.Ranges, nameof(TimeoutOptions.HalfClosed), (o, v) => o.HalfClosed = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<TelemetryOptions> Telemetry = new(
        Flag<TelemetryOptions>(nameof(TelemetryOptions.SummaryLog), o => o.SummaryLog, (o, v) => o.SummaryLog = v),
        Flag<TelemetryOptions>(nameof(TelemetryOptions.LogEmptyConnections), o => o.LogEmptyConnections, (o, v) => o.LogEmptyConnections = v),
        Flag<TelemetryOptions>(nameof(TelemetryOptions.Tracing), o => o.Tracing, (o, v) => o.Tracing = v))
    { CanBeDisabled = true };

    /// <summary>The keys that apply to all endpoints.</summary>
    public static SettingTable<ServiceSettings> Service { get; } = new(
        Number(ServiceSettings.Ranges, nameof(ServiceSettings.MaxConnections), (o, v) => o.MaxConnections = v),
        LongNumber(ServiceSettings.Ranges, nameof(ServiceSettings.MaxBufferedBytes), (o, v) => o.MaxBufferedBytes = v),
        LongNumber(ServiceSettings.Ranges, nameof(ServiceSettings.MaxPending), (o, v) => o.MaxPending = v),
        Time(ServiceSettings.Ranges, nameof(ServiceSettings.PendingTimeout), (o, v) => o.PendingTimeout = v),
        Time(ServiceSettings.Ranges, nameof(ServiceSettings.DrainDelay), (o, v) => o.DrainDelay = v),
        Time(ServiceSettings.Ranges, nameof(ServiceSettings.DrainTimeout), (o, v) => o.DrainTimeout = v));

    /// <summary>The keys of an endpoint's sockets. A change of one needs a new listener.</summary>
    public static SettingTable<ByteStreamServerOptions> Listening { get; } = new(
    [
        Number(TransportRanges, nameof(ByteStreamServerOptions.Limit), (o, v) => o.Limit = v),
        Number(ListenRanges, nameof(ByteStreamServerOptions.Backlog), (o, v) => o.Backlog = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.ReuseAddress), o => o.ReuseAddress, (o, v) => o.ReuseAddress = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.ReusePort), o => o.ReusePort, (o, v) => o.ReusePort = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.IPv6Only), o => o.IPv6Only, (o, v) => o.IPv6Only = v),
        Choice<ByteStreamServerOptions, ByteStreamEngine>(nameof(ByteStreamServerOptions.Engine), o => o.Engine, (o, v) => o.Engine = v),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.EventLoops), (o, v) => o.EventLoops = v),
        .. Tcp(TransportRanges),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.ReceiveBufferSize), (o, v) => o.ReceiveBufferSize = v),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.SendBufferSize), (o, v) => o.SendBufferSize = v),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.WriteBufferHighWater), (o, v) => o.WriteBufferHighWater = v),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.WriteBufferLowWater), (o, v) => o.WriteBufferLowWater = v),
        Number(TransportRanges, nameof(ByteStreamTransportOptions.MaxReceiveBlock), (o, v) => o.MaxReceiveBlock = v),
        Time(TransportRanges, nameof(ByteStreamTransportOptions.LingerTimeout), (o, v) => o.LingerTimeout = v),
        LongNumber(TransportRanges, nameof(ByteStreamTransportOptions.LingerBytes), (o, v) => o.LingerBytes = v),
        FileMode<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.UnixSocketMode), o => o.UnixSocketMode, (o, v) => o.UnixSocketMode = v),
        Text<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.UnixSocketGroup), "a group's name or number", o => o.UnixSocketGroup, (o, v) => o.UnixSocketGroup = v),
    ]);

    /// <summary>The other keys of an endpoint: its handler and its connection middleware.</summary>
    public static SettingTable<EndpointSettings> Endpoint { get; } = new(
        Text<EndpointSettings>(nameof(EndpointSettings.Url), EndpointUrl.Takes, o => o.Url, (o, v) => o.Url = v, EndpointUrl.Pattern),
        Text<EndpointSettings>(nameof(EndpointSettings.Handler), "the name of a handler", o => o.Handler, (o, v) => o.Handler = v),
        new SectionSetting<EndpointSettings, TelemetryOptions>(nameof(EndpointSettings.Telemetry), o => o.Telemetry, Telemetry),
        new SectionSetting<EndpointSettings, AdmissionOptions>(nameof(EndpointSettings.Admission), o => o.Admission, Admission),
        new SectionSetting<EndpointSettings, ProxyProtocolOptions>(nameof(EndpointSettings.ProxyProtocol), o => o.ProxyProtocol, ProxyProtocol),
        new SectionSetting<EndpointSettings, AccessListOptions>(nameof(EndpointSettings.Access), o => o.Access, Access),
        new SectionSetting<EndpointSettings, TlsServerOptions>(nameof(EndpointSettings.Tls), o => o.Tls, Tls),
        new SectionSetting<EndpointSettings, TimeoutOptions>(nameof(EndpointSettings.Timeouts), o => o.Timeouts, Timeouts),
        new SectionSetting<EndpointSettings, RelayOptions>(nameof(EndpointSettings.Relay), o => o.Relay, Relay));

    /// <summary>The keys of TCP, for accepted connections and for a relay's upstream connections.</summary>
    private static ValueSetting<TOptions>[] Tcp<TOptions>(OptionRanges<TOptions> ranges)
        where TOptions : ByteStreamTransportOptions, new() =>
    [
        Flag<TOptions>(nameof(ByteStreamTransportOptions.NoDelay), o => o.NoDelay, (o, v) => o.NoDelay = v),
        Flag<TOptions>(nameof(ByteStreamTransportOptions.KeepAlive), o => o.KeepAlive, (o, v) => o.KeepAlive = v),
        Time(ranges, nameof(ByteStreamTransportOptions.KeepAliveTime), (o, v) => o.KeepAliveTime = v),
        Time(ranges, nameof(ByteStreamTransportOptions.KeepAliveInterval), (o, v) => o.KeepAliveInterval = v),
        Number(ranges, nameof(ByteStreamTransportOptions.KeepAliveCount), (o, v) => o.KeepAliveCount = v),
        Time(ranges, nameof(ByteStreamTransportOptions.TcpUserTimeout), (o, v) => o.TcpUserTimeout = v),
    ];
}

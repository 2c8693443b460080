using System.Security.Cryptography.X509Certificates;
using ByteStreams.Relay;
using ByteStreams.Transport.Addresses;
using static ByteStreams.Configuration.Settings;

namespace ByteStreams.Configuration;

/// <summary>Every key of an endpoint. One table, so that reading, messages, documentation and schema cannot disagree.</summary>
internal static class EndpointTable
{
    private const string Networks = "networks such as 10.0.0.0/8, single addresses, or unix";
    private const string FilePath = "the path of a file";

    private const long MebiByte = 1 << 20;

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    /// <summary>Where a certificate comes from, a server's and a client's alike.</summary>
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
        Choice<TlsServerOptions, TlsVersion>(nameof(TlsServerOptions.MinimumVersion), o => o.MinimumVersion, (o, v) => o.MinimumVersion = v),
        Choice<TlsServerOptions, TlsVersion>(nameof(TlsServerOptions.MaximumVersion), o => o.MaximumVersion, (o, v) => o.MaximumVersion = v),
        List<TlsServerOptions>(nameof(TlsServerOptions.ApplicationProtocols), "names of protocols", o => o.ApplicationProtocols),
        Choice<TlsServerOptions, ClientCertificates>(nameof(TlsServerOptions.ClientCertificates), o => o.ClientCertificates, (o, v) => o.ClientCertificates = v),
        Text<TlsServerOptions>(nameof(TlsServerOptions.ClientCaPath), FilePath, o => o.ClientCaPath, (o, v) => o.ClientCaPath = v),
        Choice<TlsServerOptions, X509RevocationMode>(nameof(TlsServerOptions.ClientRevocation), o => o.ClientRevocation, (o, v) => o.ClientRevocation = v),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedCommonNames), "common names", o => o.AllowedCommonNames),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedDnsNames), "host names", o => o.AllowedDnsNames),
        List<TlsServerOptions>(nameof(TlsServerOptions.AllowedUris), "URIs", o => o.AllowedUris),
        Time<TlsServerOptions>(nameof(TlsServerOptions.HandshakeTimeout), TimeSpan.Zero, o => o.HandshakeTimeout, (o, v) => o.HandshakeTimeout = v),
        Number<TlsServerOptions>(nameof(TlsServerOptions.MaxHandshakes), 1, int.MaxValue, o => o.MaxHandshakes, (o, v) => o.MaxHandshakes = v),
        Number<TlsServerOptions>(
            nameof(TlsServerOptions.MaxHandshakeSize), TlsServerOptions.LeastHandshakeSize, int.MaxValue, o => o.MaxHandshakeSize, (o, v) => o.MaxHandshakeSize = v),
        Time<TlsServerOptions>(nameof(TlsServerOptions.ShutdownTimeout), TimeSpan.Zero, o => o.ShutdownTimeout, (o, v) => o.ShutdownTimeout = v),
        OptionalFlag<TlsServerOptions>(nameof(TlsServerOptions.RequireCloseNotify), o => o.RequireCloseNotify, (o, v) => o.RequireCloseNotify = v),
        Flag<TlsServerOptions>(nameof(TlsServerOptions.StapleOcsp), o => o.StapleOcsp, (o, v) => o.StapleOcsp = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<ProxyProtocolOptions> ProxyProtocol = new(
        List<ProxyProtocolOptions>(nameof(ProxyProtocolOptions.TrustedNetworks), Networks, o => o.TrustedNetworks),
        Time<ProxyProtocolOptions>(nameof(ProxyProtocolOptions.Timeout), TimeSpan.Zero, o => o.Timeout, (o, v) => o.Timeout = v),
        Number<ProxyProtocolOptions>(nameof(ProxyProtocolOptions.MaxHeaderBytes), 16, 65551, o => o.MaxHeaderBytes, (o, v) => o.MaxHeaderBytes = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<AdmissionOptions> Admission = new(
        Number<AdmissionOptions>(nameof(AdmissionOptions.MaxConnections), 1, int.MaxValue, o => o.MaxConnections, (o, v) => o.MaxConnections = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.MaxConnectionsPerClient), 1, int.MaxValue, o => o.MaxConnectionsPerClient, (o, v) => o.MaxConnectionsPerClient = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.IPv4PrefixLength), 0, 32, o => o.IPv4PrefixLength, (o, v) => o.IPv4PrefixLength = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.IPv6PrefixLength), 0, 128, o => o.IPv6PrefixLength, (o, v) => o.IPv6PrefixLength = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.ConnectionsPerSecond), 1, int.MaxValue, o => o.ConnectionsPerSecond, (o, v) => o.ConnectionsPerSecond = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.Burst), 1, int.MaxValue, o => o.Burst, (o, v) => o.Burst = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.ConnectionsPerSecondPerClient), 1, int.MaxValue, o => o.ConnectionsPerSecondPerClient, (o, v) => o.ConnectionsPerSecondPerClient = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.BurstPerClient), 1, int.MaxValue, o => o.BurstPerClient, (o, v) => o.BurstPerClient = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.MaxTrackedClients), 2, int.MaxValue, o => o.MaxTrackedClients, (o, v) => o.MaxTrackedClients = v),
        Choice<AdmissionOptions, WhenFull>(nameof(AdmissionOptions.WhenFull), o => o.WhenFull, (o, v) => o.WhenFull = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.QueueLength), 1, int.MaxValue, o => o.QueueLength, (o, v) => o.QueueLength = v),
        Number<AdmissionOptions>(nameof(AdmissionOptions.QueueLengthPerClient), 1, int.MaxValue, o => o.QueueLengthPerClient, (o, v) => o.QueueLengthPerClient = v),
        Time<AdmissionOptions>(nameof(AdmissionOptions.QueueTimeout), TimeSpan.Zero, o => o.QueueTimeout, (o, v) => o.QueueTimeout = v),
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
        Choice<TlsClientOptions, TlsVersion>(nameof(TlsClientOptions.MinimumVersion), o => o.MinimumVersion, (o, v) => o.MinimumVersion = v),
        List<TlsClientOptions>(nameof(TlsClientOptions.ApplicationProtocols), "names of protocols", o => o.ApplicationProtocols),
        Choice<TlsClientOptions, X509RevocationMode>(nameof(TlsClientOptions.Revocation), o => o.Revocation, (o, v) => o.Revocation = v),
        Flag<TlsClientOptions>(nameof(TlsClientOptions.RequireCloseNotify), o => o.RequireCloseNotify, (o, v) => o.RequireCloseNotify = v));

    private static readonly SettingTable<RelayOptions> Relay = new(
        List<RelayOptions>(nameof(RelayOptions.Upstreams), "tcp://host:port, tls://host:port, unix:/path or unix:@name", o => o.Upstreams),
        Choice<RelayOptions, LoadBalancing>(nameof(RelayOptions.LoadBalancing), o => o.LoadBalancing, (o, v) => o.LoadBalancing = v),
        Time<RelayOptions>(nameof(RelayOptions.ConnectTimeout), TimeSpan.Zero, o => o.ConnectTimeout, (o, v) => o.ConnectTimeout = v),
        Number<RelayOptions>(nameof(RelayOptions.Retries), 0, int.MaxValue, o => o.Retries, (o, v) => o.Retries = v),
        Number<RelayOptions>(nameof(RelayOptions.EjectAfter), 0, int.MaxValue, o => o.EjectAfter, (o, v) => o.EjectAfter = v),
        Time<RelayOptions>(nameof(RelayOptions.EjectFor), TimeSpan.Zero, o => o.EjectFor, (o, v) => o.EjectFor = v),
        Time<RelayOptions>(nameof(RelayOptions.HealthCheckInterval), TimeSpan.Zero, o => o.HealthCheckInterval, (o, v) => o.HealthCheckInterval = v),
        Time<RelayOptions>(nameof(RelayOptions.HealthCheckTimeout), TimeSpan.Zero, o => o.HealthCheckTimeout, (o, v) => o.HealthCheckTimeout = v),
        Number<RelayOptions>(nameof(RelayOptions.UnhealthyAfter), 1, int.MaxValue, o => o.UnhealthyAfter, (o, v) => o.UnhealthyAfter = v),
        Number<RelayOptions>(nameof(RelayOptions.HealthyAfter), 1, int.MaxValue, o => o.HealthyAfter, (o, v) => o.HealthyAfter = v),
        Time<RelayOptions>(nameof(RelayOptions.ResolveInterval), Second, o => o.ResolveInterval, (o, v) => o.ResolveInterval = v),
        Flag<RelayOptions>(nameof(RelayOptions.Readiness), o => o.Readiness, (o, v) => o.Readiness = v),
        Choice<RelayOptions, SendProxyHeader>(nameof(RelayOptions.SendProxyHeader), o => o.SendProxyHeader, (o, v) => o.SendProxyHeader = v),
        Time<RelayOptions>(nameof(RelayOptions.DrainQuiet), TimeSpan.Zero, o => o.DrainQuiet, (o, v) => o.DrainQuiet = v),
        Flag<RelayOptions>(nameof(RelayOptions.DrainWaitsForAnswer), o => o.DrainWaitsForAnswer, (o, v) => o.DrainWaitsForAnswer = v),
        new InnerSectionSetting<RelayOptions, TlsClientOptions>(nameof(RelayOptions.Tls), o => o.Tls, ClientTls),
        new InnerSectionSetting<RelayOptions, UpstreamConnectionOptions>(
            nameof(RelayOptions.Connection), o => (UpstreamConnectionOptions)o.Connection, new SettingTable<UpstreamConnectionOptions>(Tcp<UpstreamConnectionOptions>())));

    private static readonly SettingTable<TimeoutOptions> Timeouts = new(
        Time<TimeoutOptions>(nameof(TimeoutOptions.FirstByte), TimeSpan.Zero, o => o.FirstByte, (o, v) => o.FirstByte = v),
        Time<TimeoutOptions>(nameof(TimeoutOptions.ReceiveIdle), TimeSpan.Zero, o => o.ReceiveIdle, (o, v) => o.ReceiveIdle = v),
        Time<TimeoutOptions>(nameof(TimeoutOptions.SendStall), TimeSpan.Zero, o => o.SendStall, (o, v) => o.SendStall = v == TimeSpan.Zero ? null : v, orZero: true),
        Number<TimeoutOptions>(nameof(TimeoutOptions.MinReceiveRate), 1, int.MaxValue, o => o.MinReceiveRate, (o, v) => o.MinReceiveRate = v),
        Time<TimeoutOptions>(nameof(TimeoutOptions.MinReceiveRateGrace), TimeSpan.Zero, o => o.MinReceiveRateGrace, (o, v) => o.MinReceiveRateGrace = v),
        Time<TimeoutOptions>(nameof(TimeoutOptions.Lifetime), TimeSpan.Zero, o => o.Lifetime, (o, v) => o.Lifetime = v),
        Time<TimeoutOptions>(nameof(TimeoutOptions.HalfClosed), TimeSpan.Zero, o => o.HalfClosed, (o, v) => o.HalfClosed = v))
    { CanBeDisabled = true };

    private static readonly SettingTable<TelemetryOptions> Telemetry = new(
        Flag<TelemetryOptions>(nameof(TelemetryOptions.SummaryLog), o => o.SummaryLog, (o, v) => o.SummaryLog = v),
        Flag<TelemetryOptions>(nameof(TelemetryOptions.LogEmptyConnections), o => o.LogEmptyConnections, (o, v) => o.LogEmptyConnections = v),
        Flag<TelemetryOptions>(nameof(TelemetryOptions.Tracing), o => o.Tracing, (o, v) => o.Tracing = v))
    { CanBeDisabled = true };

    /// <summary>What is said beside the endpoints.</summary>
    public static SettingTable<ServiceSettings> Service { get; } = new(
        Number<ServiceSettings>(nameof(ServiceSettings.MaxConnections), 0, int.MaxValue, o => o.MaxConnections, (o, v) => o.MaxConnections = v),
        Bytes<ServiceSettings>(nameof(ServiceSettings.MaxBufferedBytes), MebiByte, o => o.MaxBufferedBytes, (o, v) => o.MaxBufferedBytes = v),
        Time<ServiceSettings>(nameof(ServiceSettings.DrainDelay), TimeSpan.Zero, o => o.DrainDelay, (o, v) => o.DrainDelay = v, orZero: true),
        Time<ServiceSettings>(nameof(ServiceSettings.DrainTimeout), TimeSpan.Zero, o => o.DrainTimeout, (o, v) => o.DrainTimeout = v, orZero: true));

    /// <summary>What says how sockets are, and is fixed once they listen.</summary>
    public static SettingTable<ByteStreamServerOptions> Listening { get; } = new(
    [
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.Limit), 1, int.MaxValue, o => o.Limit, (o, v) => o.Limit = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.Backlog), 1, int.MaxValue, o => o.Backlog, (o, v) => o.Backlog = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.ReuseAddress), o => o.ReuseAddress, (o, v) => o.ReuseAddress = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.ReusePort), o => o.ReusePort, (o, v) => o.ReusePort = v),
        Flag<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.IPv6Only), o => o.IPv6Only, (o, v) => o.IPv6Only = v),
        Choice<ByteStreamServerOptions, ByteStreamEngine>(nameof(ByteStreamServerOptions.Engine), o => o.Engine, (o, v) => o.Engine = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.EventLoops), 1, 1024, o => o.EventLoops, (o, v) => o.EventLoops = v),
        .. Tcp<ByteStreamServerOptions>(),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.ReceiveBufferSize), 1, int.MaxValue, o => o.ReceiveBufferSize, (o, v) => o.ReceiveBufferSize = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.SendBufferSize), 1, int.MaxValue, o => o.SendBufferSize, (o, v) => o.SendBufferSize = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.WriteBufferHighWater), 0, int.MaxValue, o => o.WriteBufferHighWater, (o, v) => o.WriteBufferHighWater = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.WriteBufferLowWater), 0, int.MaxValue, o => o.WriteBufferLowWater, (o, v) => o.WriteBufferLowWater = v),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.MaxReceiveBlock), 4096, int.MaxValue, o => o.MaxReceiveBlock, (o, v) => o.MaxReceiveBlock = v),
        Time<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.LingerTimeout), TimeSpan.Zero, o => o.LingerTimeout, (o, v) => o.LingerTimeout = v, orZero: true),
        Number<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.LingerBytes), 0, int.MaxValue, o => o.LingerBytes, (o, v) => o.LingerBytes = v),
        FileMode<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.UnixSocketMode), o => o.UnixSocketMode, (o, v) => o.UnixSocketMode = v),
        Text<ByteStreamServerOptions>(nameof(ByteStreamServerOptions.UnixSocketGroup), "a group's name or number", o => o.UnixSocketGroup, (o, v) => o.UnixSocketGroup = v),
    ]);

    /// <summary>The rest: which handler, and what surrounds it.</summary>
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

    /// <summary>TCP's own keys: of accepted connections, and of a relay's to its upstreams.</summary>
    private static ValueSetting<TOptions>[] Tcp<TOptions>()
        where TOptions : ByteStreamTransportOptions, new() =>
    [
        Flag<TOptions>(nameof(ByteStreamTransportOptions.NoDelay), o => o.NoDelay, (o, v) => o.NoDelay = v),
        Flag<TOptions>(nameof(ByteStreamTransportOptions.KeepAlive), o => o.KeepAlive, (o, v) => o.KeepAlive = v),
        Time<TOptions>(nameof(ByteStreamTransportOptions.KeepAliveTime), Second, o => o.KeepAliveTime, (o, v) => o.KeepAliveTime = v),
        Time<TOptions>(nameof(ByteStreamTransportOptions.KeepAliveInterval), Second, o => o.KeepAliveInterval, (o, v) => o.KeepAliveInterval = v),
        Number<TOptions>(nameof(ByteStreamTransportOptions.KeepAliveCount), 1, 127, o => o.KeepAliveCount, (o, v) => o.KeepAliveCount = v),
        Time<TOptions>(nameof(ByteStreamTransportOptions.TcpUserTimeout), Second, o => o.TcpUserTimeout, (o, v) => o.TcpUserTimeout = v),
    ];
}

using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

public sealed class TcpConnectionTests : ConnectionContract
{
    protected override int Runs => 200;

    protected override EndPoint NewEndPoint() => new IPEndPoint(IPAddress.Loopback, 0);
}

public sealed class UnixConnectionTests : ConnectionContract
{
    private readonly string _folder = Directory.CreateTempSubdirectory("bs-").FullName;
    private int _count;

    protected override int Runs => 200;

    protected override bool NeedsUnread => true;

    protected override EndPoint NewEndPoint() =>
        new UnixDomainSocketEndPoint(Path.Combine(_folder, $"{Interlocked.Increment(ref _count)}.sock"));

    protected override void Cleanup() => Directory.Delete(_folder, recursive: true);
}

public sealed class InMemoryConnectionTests : ConnectionContract
{
    protected override EndPoint NewEndPoint() => new InMemoryEndPoint(Guid.NewGuid().ToString());
}

public sealed class TlsConnectionTests : ConnectionContract
{
    protected override SslServerAuthenticationOptions ServerTls => TestCertificate.Server;

    protected override SslClientAuthenticationOptions ClientTls => TestCertificate.Client;

    protected override EndPoint NewEndPoint() => new IPEndPoint(IPAddress.Loopback, 0);

    [Fact, Trait("Contract", "W8")]
    public async Task WaitClosed_PeerTakesNothingWithinTheTlsShutdownTimeout_ThrowsTimeoutException()
    {
        var time = new FakeTimeProvider();
        Link link = await ConnectAsync(server => (server.TlsShutdownTimeout, server.TimeProvider) = (TimeSpan.FromSeconds(1), time));
        Task drain = await FillAsync(link.Writer);
        link.Writer.Close();
        Task closed = link.Writer.WaitClosedAsync(Soon);

        await AdvanceUntilAsync(time, closed);

        TimeoutException late = await Assert.ThrowsAsync<TimeoutException>(() => closed);
        Assert.Contains("were not sent within 1 s", late.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ConnectionResetException>(() => drain);
        Assert.Equal(ConnectionCloseReason.Aborted, link.ServerLink.CloseReason);
    }
}

/// <summary>The same within everything that may surround a handler: half-close, abort and the reason of the end go through all of it.</summary>
public sealed class SurroundedTcpConnectionTests : ConnectionContract
{
    protected override EndPoint NewEndPoint() => new IPEndPoint(IPAddress.Loopback, 0);

    protected override void Surround(ByteStreamServerOptions options) => Surroundings.AddTo(options);
}

/// <summary>And with TLS in between.</summary>
public sealed class SurroundedTlsConnectionTests : ConnectionContract
{
    protected override SslServerAuthenticationOptions ServerTls => TestCertificate.Server;

    protected override SslClientAuthenticationOptions ClientTls => TestCertificate.Client;

    protected override EndPoint NewEndPoint() => new IPEndPoint(IPAddress.Loopback, 0);

    protected override void Surround(ByteStreamServerOptions options) => Surroundings.AddTo(options);
}

internal static class Surroundings
{
    public static void AddTo(ByteStreamServerOptions options) => options
        .UseTelemetry()
        .UseAdmission(admission => (admission.MaxConnections, admission.MaxConnectionsPerClient) = (1000, 1000))
        .UseAccessList(access => access.Allow.Add("127.0.0.0/8"))
        .UseTimeouts(timeouts =>
        {
            timeouts.FirstByte = TimeSpan.FromMinutes(10);
            timeouts.ReceiveIdle = TimeSpan.FromMinutes(10);
            timeouts.MinReceiveRate = 1;
            timeouts.Lifetime = TimeSpan.FromMinutes(10);
            timeouts.HalfClosed = TimeSpan.FromMinutes(10);
        });
}

/// <summary>The same over the runtime's sockets, where the system's own default is another engine.</summary>
public sealed class SocketEngineTcpConnectionTests : ConnectionContract
{
    protected override int Runs => 200;

    protected override ByteStreamEngine Engine => ByteStreamEngine.Socket;

    protected override EndPoint NewEndPoint() => new IPEndPoint(IPAddress.Loopback, 0);
}

public sealed class SocketEngineUnixConnectionTests : ConnectionContract
{
    private readonly string _folder = Directory.CreateTempSubdirectory("bs-").FullName;
    private int _count;

    protected override ByteStreamEngine Engine => ByteStreamEngine.Socket;

    protected override bool NeedsUnread => true;

    protected override EndPoint NewEndPoint() =>
        new UnixDomainSocketEndPoint(Path.Combine(_folder, $"{Interlocked.Increment(ref _count)}.sock"));

    protected override void Cleanup() => Directory.Delete(_folder, recursive: true);
}

/// <summary>A self-signed certificate, and a client that trusts exactly it.</summary>
internal static class TestCertificate
{
    public static X509Certificate2 Certificate { get; } = Create();

    public static SslServerAuthenticationOptions Server => new() { ServerCertificate = Certificate };

    public static SslClientAuthenticationOptions Client => new()
    {
        TargetHost = "localhost",
        RemoteCertificateValidationCallback = (_, certificate, _, _) =>
            certificate is not null && certificate.GetRawCertData().AsSpan().SequenceEqual(Certificate.RawData),
    };

    private static X509Certificate2 Create()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}

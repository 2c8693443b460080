using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;
using ByteStreams.Tls.OpenSsl;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests;

public abstract partial class ConnectionContract
{
    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_Addresses_AreTheTransportsOwn()
    {
        Link link = await ConnectAsync();
        ByteStreamWriter client = link.Client.Writer;
        Assert.NotNull(client.RemoteEndPoint);
        Assert.Same(client.RemoteEndPoint, client.GetExtraInfo("peername"));
        Assert.Same(client.LocalEndPoint, client.GetExtraInfo("sockname"));
        Assert.Same(link.Writer.RemoteEndPoint, link.Writer.GetExtraInfo("peername"));
        Assert.Same(link.Writer.LocalEndPoint, link.Writer.GetExtraInfo("sockname"));
        Assert.Equal(client.RemoteEndPoint, link.Writer.LocalEndPoint);
        if (client.RemoteEndPoint is not UnixDomainSocketEndPoint)
        {
            // The client of a Unix socket has no address.
            Assert.Equal(client.LocalEndPoint, link.Writer.RemoteEndPoint);
        }
    }

    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_UnknownName_IsTheDefault()
    {
        Link link = await ConnectAsync();
        object fallback = new();
        Assert.Null(link.Writer.GetExtraInfo("no such name"));
        Assert.Same(fallback, link.Writer.GetExtraInfo("no such name", fallback));
        Assert.Same(fallback, link.Writer.GetExtraInfo("compression", fallback));
        Assert.Throws<ArgumentNullException>(() => link.Writer.GetExtraInfo(null!));
    }

    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_Socket_IsThereWhereThereIsOne()
    {
        Link link = await ConnectAsync();
        if (link.Writer.LocalEndPoint is InMemoryEndPoint)
        {
            Assert.Null(link.Writer.GetExtraInfo("socket"));
            return;
        }

        Socket socket = Assert.IsType<Socket>(link.Writer.GetExtraInfo("socket"));
        Assert.True(socket.Connected);
    }

    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_PeerCred_IsTheProcessAtTheOtherEndOfAUnixSocket()
    {
        Link link = await ConnectAsync();
        if (link.Writer.LocalEndPoint is not UnixDomainSocketEndPoint)
        {
            Assert.Null(link.Writer.GetExtraInfo("peercred"));
            Assert.Null(link.Writer.PeerCredentials);
            return;
        }

        var peer = Assert.IsType<UnixCredentials>(link.Writer.GetExtraInfo("peercred"));
        Assert.Equal(Environment.ProcessId, peer.ProcessId);
        Assert.Equal(peer, link.Writer.PeerCredentials);
        Assert.Equal(peer, link.Client.Writer.PeerCredentials);
    }

    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_TlsFacts_AreThereWhereThereIsTls()
    {
        Link link = await ConnectAsync();
        ByteStreamWriter client = link.Client.Writer;
        if (ServerTls is null)
        {
            Assert.All(
                ["ssl_object", "sslcontext", "peercert", "cipher", "compression"],
                name => Assert.Null(client.GetExtraInfo(name)));
            Assert.Null(client.SslStream);
            Assert.Null(client.PeerCertificate);
            Assert.Null(client.CipherSuite);
            Assert.Null(client.TlsProtocol);
            return;
        }

        // With OpenSSL there is no SslStream, but the result of the handshake.
        Assert.Same((object?)client.SslStream ?? client.Transport!.Features.Get<ITlsHandshakeFeature>(), client.GetExtraInfo("ssl_object"));
        Assert.NotNull(client.GetExtraInfo("ssl_object"));
        Assert.IsType<SslClientAuthenticationOptions>(client.GetExtraInfo("sslcontext"));
        Assert.IsType<SslServerAuthenticationOptions>(link.Writer.GetExtraInfo("sslcontext"));
        X509Certificate2 certificate = Assert.IsType<X509Certificate2>(client.GetExtraInfo("peercert"));
        Assert.Equal(TestCertificate.Certificate.RawData, certificate.RawData);
        Assert.Equal(certificate, client.PeerCertificate);
        Assert.Null(link.Writer.GetExtraInfo("peercert"));
        Assert.Equal(client.CipherSuite, Assert.IsType<TlsCipherSuite>(client.GetExtraInfo("cipher")));
        Assert.NotNull(client.TlsProtocol);
        Assert.Null(client.GetExtraInfo("compression"));
    }

    [Theory, Trait("Contract", "W10")]
    [InlineData("closed here")]
    [InlineData("aborted here")]
    [InlineData("closed by the peer")]
    [InlineData("reset by the peer")]
    [InlineData("handler has returned")]
    public async Task GetExtraInfo_FirstAskedAfterTheEnd_KnowsWhatItKnewBefore(string end)
    {
        Link link = await ConnectAsync();
        ByteStreamWriter client = link.Client.Writer;
        ByteStreamWriter server = link.Writer;
        (EndPoint? own, EndPoint? peer, SslProtocols? version, TlsCipherSuite? cipher) =
            (client.LocalEndPoint, client.RemoteEndPoint, client.TlsProtocol, client.CipherSuite);
        Func<bool> isDisposed = Disposal(server);
        switch (end)
        {
            case "closed here":
                server.Close();
                client.Close();
                break;
            case "aborted here":
                server.Abort();
                client.Close();
                break;
            case "closed by the peer":
                client.Close();
                Assert.Empty(await link.Reader.ReadAsync(cancellationToken: Soon));
                server.Close();
                break;
            case "reset by the peer":
                client.Abort();
                await Record.ExceptionAsync(async () => await link.Reader.ReadAsync(cancellationToken: Soon));
                server.Close();
                break;
            default:
                link.Return();
                client.Close();
                break;
        }

        await Record.ExceptionAsync(() => link.ServerLink.WaitClosedAsync().WaitAsync(Soon));
        await Record.ExceptionAsync(() => link.ClientLink.WaitClosedAsync().WaitAsync(Soon));
        if (ServerTls is not null)
        {
            await Patience.UntilAsync(isDisposed);
        }

        Assert.Equal(peer, server.LocalEndPoint);
        Assert.Equal(peer, server.GetExtraInfo("sockname"));
        if (peer is not UnixDomainSocketEndPoint)
        {
            Assert.Equal(own, server.RemoteEndPoint);
            Assert.Equal(own, server.GetExtraInfo("peername"));
        }

        Assert.Equal(peer is UnixDomainSocketEndPoint ? Environment.ProcessId : null, server.PeerCredentials?.ProcessId);
        Assert.Equal(server.PeerCredentials, server.GetExtraInfo("peercred"));
        // Where the engine has made none, there is none any more.
        Assert.True(server.GetExtraInfo("socket") is null or Socket);
        Assert.Equal(version, server.TlsProtocol);
        Assert.Equal(cipher, server.CipherSuite);
        Assert.Equal(cipher, server.GetExtraInfo("cipher"));
        Assert.Equal(ServerTls is null ? null : "localhost", server.TlsServerName);
        Assert.Equal(ServerTls is null ? null : "localhost", server.GetExtraInfo("sni"));
        Assert.Equal(default, server.ApplicationProtocol);
        Assert.Null(server.GetExtraInfo("alpn"));
        Assert.Null(server.PeerCertificate);
        Assert.Null(server.GetExtraInfo("peercert"));
        Assert.Equal(ServerTls is null, server.GetExtraInfo("sslcontext") is null);
        Assert.Same((object?)server.SslStream ?? server.Transport!.Features.Get<ITlsHandshakeFeature>(), server.GetExtraInfo("ssl_object"));
        Assert.Equal(ServerTls is null ? null : TestCertificate.Certificate.RawData, client.PeerCertificate?.RawData);
        Assert.Equal(client.PeerCertificate, client.GetExtraInfo("peercert"));
        Assert.NotNull(server.ConnectionId);
    }

    [Fact, Trait("Contract", "W10")]
    public async Task GetExtraInfo_TlsFeaturesAfterTheEnd_DoNotThrow()
    {
        Link link = await ConnectAsync();
        Func<bool> isDisposed = Disposal(link.Writer);
        TlsCipherSuite? cipher = link.Writer.CipherSuite;
        link.Writer.Abort();
        await link.ServerLink.WaitClosedAsync().WaitAsync(Soon);
        IFeatureCollection features = link.Writer.Transport!.Features;
        if (ServerTls is null)
        {
            Assert.Null(features.Get<ITlsHandshakeFeature>());
            return;
        }

        await Patience.UntilAsync(isDisposed);
        ITlsHandshakeFeature handshake = features.Get<ITlsHandshakeFeature>()!;
        Assert.Equal(cipher, handshake.NegotiatedCipherSuite);
        Assert.Equal(link.Client.Writer.TlsProtocol, handshake.Protocol);
        Assert.Equal("localhost", handshake.HostName);
        Assert.All(
            typeof(ITlsHandshakeFeature).GetProperties().Concat(typeof(ITlsConnectionFeature).GetProperties()),
            property => Assert.Null(Record.Exception(() => property.GetValue(features[property.DeclaringType!]))));
    }

    [Fact, Trait("Contract", "W12")]
    public async Task Writer_CollectedWithoutClose_IsClosedWithAWarning()
    {
        var log = new FakeLogCollector();
        var read = new TaskCompletionSource<(byte[], Exception?)>(TaskCreationOptions.RunContinuationsAsynchronously);
        ByteStreamServer server = await ServeAsync(async (reader, _, _) =>
        {
            byte[] arrived = await reader.ReadExactlyAsync("forgotten".Length, Soon);
            read.SetResult((arrived, await Record.ExceptionAsync(async () => await reader.ReadExactlyAsync(1, Soon))));
        });
        // Not in the test framework's own context, whose threads remember the last task that they ran.
        await Task.Run(() => OpenAndForgetAsync(server, log), Soon);
        await Patience.UntilAsync(() => IsAfterCollection(() => read.Task.IsCompleted));

        // What was written before it was forgotten has arrived, and then the end; a cut where TLS could have said that it was meant.
        (byte[] arrived, Exception? end) = await read.Task;
        Assert.Equal("forgotten", Text(arrived));
        Assert.IsType(ServerTls is null ? typeof(IncompleteReadException) : typeof(TlsTruncatedException), end);
        await Patience.UntilAsync(() => log.Count, now => now > 0);
        FakeLogRecord warning = Assert.Single(log.GetSnapshot(), record => record.Level == LogLevel.Warning);
        Assert.Equal(101, warning.Id.Id);
#if DEBUG
        Assert.Contains("   at ", warning.Message, StringComparison.Ordinal);
#endif
    }

    [Fact, Trait("Contract", "W12")]
    public async Task Writer_CollectedAfterClose_WarnsOfNothing()
    {
        var log = new FakeLogCollector();
        ByteStreamServer server = await ServeAsync(async (reader, _, _) => await reader.ReadAsync(cancellationToken: Soon));
        WeakReference writer = await Task.Run(() => OpenAndCloseAsync(server, log), Soon);
        await Patience.UntilAsync(() => IsAfterCollection(() => !writer.IsAlive));

        Assert.DoesNotContain(log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

    private static bool IsAfterCollection(Func<bool> condition)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return condition();
    }

    /// <summary>Returns whether the TLS state of a connection is freed. Call it before the connection has ended.</summary>
    private static Func<bool> Disposal(ByteStreamWriter writer) =>
        writer.Transport!.Features.Get<IByteStreamTransportFeature>() is TlsTransport { Channel: OpenSslChannel channel }
            ? () => channel.IsDisposed
            : () => writer.SslStream is not { IsAuthenticated: true };

    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task OpenAndForgetAsync(ByteStreamServer server, FakeLogCollector log)
    {
        ByteStreamConnection connection = await OpenAsync(server, options => options.LoggerFactory = Logging(log));
        connection.Writer.Write("forgotten"u8);
        await connection.Writer.DrainAsync(Soon);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task<WeakReference> OpenAndCloseAsync(ByteStreamServer server, FakeLogCollector log)
    {
        await using ByteStreamConnection connection = await OpenAsync(server, options => options.LoggerFactory = Logging(log));
        return new WeakReference(connection.Writer);
    }
}

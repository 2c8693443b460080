using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
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

        Assert.Same(client.SslStream, Assert.IsType<SslStream>(client.GetExtraInfo("ssl_object")));
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
        while (!read.Task.IsCompleted)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await Task.Delay(10, Soon);
        }

        // What was written before it was forgotten has arrived, and then the end; a cut where TLS could have said that it was meant.
        (byte[] arrived, Exception? end) = await read.Task;
        Assert.Equal("forgotten", Text(arrived));
        Assert.IsType(ServerTls is null ? typeof(IncompleteReadException) : typeof(TlsTruncatedException), end);
        await UntilAsync(() => log.Count > 0);
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
        while (writer.IsAlive)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await Task.Delay(10, Soon);
        }

        Assert.DoesNotContain(log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

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

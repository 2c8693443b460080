using System.Net.Security;
using System.Security.Authentication;

namespace ByteStreams.Contract.Tests;

/// <content>The upgrade; over TLS it is TLS within TLS, which asyncio knows too.</content>
public abstract partial class ConnectionContract
{
    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_KeepsReaderAndWriterAndSendsWhatWasWrittenInTheClear()
    {
        Link link = await ConnectAsync();
        (ByteStreamReader reader, ByteStreamWriter writer) = link.Client;
        writer.Write("STARTTLS\n"u8);
        Assert.Equal("STARTTLS\n", Text(await link.Reader.ReadLineAsync(Soon)));

        // Not drained: the upgrade does that.
        link.Writer.Write("READY\n"u8);
        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);
        Assert.Throws<InvalidOperationException>(() => link.Writer.Write("too early"u8));
        Assert.Equal("READY\n", Text(await reader.ReadLineAsync(Soon)));
        await writer.StartTlsAsync(TestCertificate.Client, Soon);
        await upgrade;

        Assert.NotNull(writer.CipherSuite);
        Assert.Equal(TestCertificate.Certificate.RawData, writer.PeerCertificate!.RawData);
        writer.Write("secret\n"u8);
        Assert.Equal("secret\n", Text(await link.Reader.ReadLineAsync(Soon)));
        link.Writer.Write(new byte[300000]);
        link.Writer.WriteEof();
        Assert.Equal(300000, await DiscardAsync(reader));
        writer.Write("still here"u8);
        writer.Close();
        Assert.Equal("still here", Text(await link.Reader.ReadAsync(cancellationToken: Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_AtWork_WriteEofIsRefusedAsWritesAre()
    {
        Link link = await ConnectAsync();
        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);

        Assert.Throws<InvalidOperationException>(link.Writer.WriteEof);

        await link.Client.Writer.StartTlsAsync(TestCertificate.Client, Soon);
        await upgrade;
        link.Writer.WriteEof();
        Assert.Empty(await link.Client.Reader.ReadAsync(cancellationToken: Soon));
    }

    [Theory, Trait("Contract", "W11")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task StartTls_HandshakeArrivedWithTheLastPlainBytes_GoesIntoTls(bool lookedAtBefore)
    {
        Link link = await ConnectAsync();
        await using var tls = new SslStream(new PairStream(link.Client, Bytes("STARTTLS\n")));
        Task client = tls.AuthenticateAsClientAsync(TestCertificate.Client, Soon);
        Assert.Equal("STARTTLS\n", Text(await link.Reader.ReadLineAsync(Soon)));
        if (lookedAtBefore)
        {
            // A read that has seen the bytes of the handshake and went away.
            using var cancel = new CancellationTokenSource();
            Task<byte[]> read = link.Reader.ReadExactlyAsync(100000, cancel.Token).AsTask();
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read);
        }

        await link.Writer.StartTlsAsync(TestCertificate.Server, Soon);
        await client;
        link.Writer.Write("hello\n"u8);
        byte[] hello = new byte[6];
        await tls.ReadExactlyAsync(hello, Soon);
        Assert.Equal("hello\n", Text(hello));
        await tls.WriteAsync(Bytes("world\n"), Soon);
        Assert.Equal("world\n", Text(await link.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_PlainBytesWereInjected_AreRefusedAndTheConnectionStaysPlain()
    {
        Link link = await ConnectAsync();
        link.Client.Writer.Write("STARTTLS\nRSET\n"u8);
        Assert.Equal("STARTTLS\n", Text(await link.Reader.ReadLineAsync(Soon)));
        InvalidDataException refused = await Assert.ThrowsAsync<InvalidDataException>(
            () => link.Writer.StartTlsAsync(TestCertificate.Server, Soon));
        Assert.Contains("5 plain bytes", refused.Message, StringComparison.Ordinal);
        if (ServerTls is null)
        {
            Assert.Null(link.Writer.SslStream);
        }

        Assert.Equal("RSET\n", Text(await link.Reader.ReadLineAsync(Soon)));
        link.Writer.Write("554 no\n"u8);
        Assert.Equal("554 no\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_PeerSpeaksNoTls_FailsAndTheConnectionIsClosed()
    {
        Link link = await ConnectAsync();
        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);
        link.Client.Writer.Write("GET / HTTP/1.1\r\n\r\n"u8);
        await Assert.ThrowsAsync<AuthenticationException>(() => upgrade);
        await DiscardAsync(link.Client.Reader);
        if (ServerTls is null)
        {
            Assert.Equal(ConnectionEndReason.TlsHandshakeFailed, link.ServerLink.EndReason);
        }
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_ReadIsWaiting_Throws()
    {
        Link link = await ConnectAsync();
        Task<byte[]> read = link.Reader.ReadLineAsync(Soon).AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(() => link.Writer.StartTlsAsync(TestCertificate.Server, Soon));
        link.Client.Writer.Write("plain\n"u8);
        Assert.Equal("plain\n", Text(await read));
        link.Writer.Write("plain too\n"u8);
        Assert.Equal("plain too\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_Closed_Throws()
    {
        Link link = await ConnectAsync();
        link.Writer.WriteEof();
        await Assert.ThrowsAsync<InvalidOperationException>(() => link.Writer.StartTlsAsync(TestCertificate.Server, Soon));
    }

    /// <summary>A connection's pair as a stream, whose first write has a prefix in the same segment.</summary>
    private sealed class PairStream(ByteStreamConnection connection, byte[] prefix) : Stream
    {
        private byte[] _prefix = prefix;

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            connection.Reader.ReadAsync(buffer, cancellationToken);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            connection.Writer.WriteLines([_prefix, buffer]);
            _prefix = [];
            return connection.Writer.DrainAsync(cancellationToken);
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}

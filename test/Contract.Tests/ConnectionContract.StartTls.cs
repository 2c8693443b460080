using System.Buffers;
using System.Net.Security;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Time.Testing;

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
    public async Task StartTls_TryCallsBeforeAndAfter_SearchWhatTlsDecrypts()
    {
        Link link = await ConnectAsync();
        (ByteStreamReader reader, ByteStreamWriter writer) = link.Client;
        writer.Write("STARTTLS\n"u8);
        Assert.Equal("STARTTLS\n", await TryLineAsync(link.Reader));
        Assert.False(link.Reader.TryReadLine(out _));

        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);
        Assert.Throws<InvalidOperationException>(() => link.Reader.TryReadLine(out _));
        await Assert.ThrowsAsync<InvalidOperationException>(() => link.Reader.WaitToReadAsync(Soon).AsTask());
        await writer.StartTlsAsync(TestCertificate.Client, Soon);
        await upgrade;

        Assert.False(link.Reader.TryReadLine(out _));
        writer.Write("a\nb\nc"u8);
        Assert.Equal("a\n", await TryLineAsync(link.Reader));
        Assert.Equal("b\n", await TryLineAsync(link.Reader));
        link.Writer.Write("d\n"u8);
        Assert.Equal("d\n", await TryLineAsync(reader));
        writer.WriteEof();
        Assert.Equal("c", await TryLineAsync(link.Reader));
        Assert.False(await link.Reader.WaitToReadAsync(Soon));

        async Task<string> TryLineAsync(ByteStreamReader source)
        {
            ReadOnlySequence<byte> line;
            while (!source.TryReadLine(out line))
            {
                Assert.True(await source.WaitToReadAsync(Soon));
            }

            return Text(line.ToArray());
        }
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
            Assert.Equal(ConnectionCloseReason.TlsHandshakeFailed, link.ServerLink.CloseReason);
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

    [Theory, Trait("Contract", "W11")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StartTls_WhatWasWrittenBeforeStillLeaves_EverythingFurtherIsRefused(bool asServer)
    {
        Link link = await ConnectAsync();
        (ByteStreamReader reader, ByteStreamWriter writer) = asServer ? (link.Reader, link.Writer) : (link.Client.Reader, link.Client.Writer);
        (ByteStreamReader peerReader, ByteStreamWriter peerWriter) = asServer ? (link.Client.Reader, link.Client.Writer) : (link.Reader, link.Writer);
        byte[] before = Pattern(8 << 20);
        // More than every buffer on the way takes: the peer reads nothing yet.
        writer.Write(before);

        Task upgrade = StartTlsAsync(writer, asServer, Soon);

        Assert.False(upgrade.IsCompleted);
        Assert.Throws<InvalidOperationException>(() => writer.Write("SECRET"u8));
        Assert.Throws<InvalidOperationException>(() => writer.Write("SECRET"));
        Assert.Throws<InvalidOperationException>(() => writer.WriteLines([Bytes("SECRET")]));
        Assert.Throws<InvalidOperationException>(() => writer.GetMemory());
        Assert.Throws<InvalidOperationException>(() => { writer.GetSpan(); });
        Assert.Throws<InvalidOperationException>(writer.WriteEof);
        await Assert.ThrowsAsync<InvalidOperationException>(() => reader.ReadLineAsync(Soon).AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartTlsAsync(writer, asServer, Soon));
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartTlsAsync(writer, !asServer, Soon));
        Task drain = writer.DrainAsync(Soon).AsTask();

        Assert.Equal(before, await peerReader.ReadExactlyAsync(before.Length, Soon));
        await drain;
        await StartTlsAsync(peerWriter, !asServer, Soon);
        await upgrade;
        writer.Write("SECRET\n"u8);
        Assert.Equal("SECRET\n", Text(await peerReader.ReadLineAsync(Soon)));
        peerWriter.Write("and back\n"u8);
        Assert.Equal("and back\n", Text(await reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_MemoryWasAskedForBefore_AdvanceIsRefused()
    {
        Link link = await ConnectAsync();
        Bytes("SECRET").CopyTo(link.Writer.GetMemory(6));

        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);

        Assert.Throws<InvalidOperationException>(() => link.Writer.Advance(6));
        await link.Client.Writer.StartTlsAsync(TestCertificate.Client, Soon);
        await upgrade;
        Assert.Throws<InvalidOperationException>(() => link.Writer.Advance(6));
        link.Writer.Write("hello\n"u8);
        Assert.Equal("hello\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
    }

    [Theory, Trait("Contract", "W11")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StartTls_CancelledBeforeTheHandshake_StaysPlainAndLosesNothing(bool asServer)
    {
        Link link = await ConnectAsync();
        (ByteStreamReader reader, ByteStreamWriter writer) = asServer ? (link.Reader, link.Writer) : (link.Client.Reader, link.Client.Writer);
        (ByteStreamReader peerReader, ByteStreamWriter peerWriter) = asServer ? (link.Client.Reader, link.Client.Writer) : (link.Reader, link.Writer);
        byte[] before = Pattern(8 << 20);
        writer.Write(before);
        using var cancel = new CancellationTokenSource();
        Task upgrade = StartTlsAsync(writer, asServer, cancel.Token);

        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => upgrade);
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.False(writer.IsClosing);
        writer.Write("still plain\n"u8);
        Assert.Equal(before, await peerReader.ReadExactlyAsync(before.Length, Soon));
        Assert.Equal("still plain\n", Text(await peerReader.ReadLineAsync(Soon)));
        peerWriter.Write("here too\n"u8);
        Assert.Equal("here too\n", Text(await reader.ReadLineAsync(Soon)));

        // And may be upgraded after all.
        await Task.WhenAll(StartTlsAsync(writer, asServer, Soon), StartTlsAsync(peerWriter, !asServer, Soon));
        writer.Write("secret\n"u8);
        Assert.Equal("secret\n", Text(await peerReader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_ArgumentsAreWrongOrTheTokenHasFired_StaysPlain()
    {
        Link link = await ConnectAsync();
        await Assert.ThrowsAsync<ArgumentException>(() => link.Writer.StartTlsAsync(new SslServerAuthenticationOptions(), Soon));
        await Assert.ThrowsAsync<ArgumentNullException>(() => link.Writer.StartTlsAsync((SslServerAuthenticationOptions)null!, Soon));
        await Assert.ThrowsAsync<ArgumentNullException>(() => link.Writer.StartTlsAsync((SslClientAuthenticationOptions)null!, Soon));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => link.Writer.StartTlsAsync(TestCertificate.Server, new CancellationToken(true)));

        link.Writer.Write("plain\n"u8);
        Assert.Equal("plain\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
    }

    [Theory, Trait("Contract", "W11")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StartTls_HandshakeIsCancelled_CarriesTheCallersTokenAndCloses(bool asServer)
    {
        Link link = await ConnectAsync();
        (ByteStreamWriter writer, ByteStreamReader peer) = asServer ? (link.Writer, link.Client.Reader) : (link.Client.Writer, link.Reader);
        using var cancel = new CancellationTokenSource();
        Task upgrade = StartTlsAsync(writer, asServer, cancel.Token);
        if (!asServer)
        {
            // The ClientHello; a server waits for one.
            await peer.ReadExactlyAsync(5, Soon);
        }

        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => upgrade);
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.True(writer.IsClosing);
        await DiscardAsync(peer);
    }

    [Theory, Trait("Contract", "W11")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StartTls_PeerSendsNothing_TheOptionsTimeoutEndsTheHandshake(bool asServer)
    {
        var time = new FakeTimeProvider();
        Link link = await ConnectAsync(
            server => (server.TimeProvider, server.TlsHandshakeTimeout) = (time, TimeSpan.FromSeconds(7)),
            client => (client.TimeProvider, client.TlsHandshakeTimeout) = (time, TimeSpan.FromSeconds(7)));
        Task upgrade = StartTlsAsync(asServer ? link.Writer : link.Client.Writer, asServer, Soon);

        time.Advance(TimeSpan.FromSeconds(6.9));
        await Task.Yield();
        Assert.False(upgrade.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.1));

        AuthenticationException late = await Assert.ThrowsAsync<AuthenticationException>(() => upgrade);
        Assert.Contains("timed out after 7 s", late.Message, StringComparison.Ordinal);
        if (ServerTls is null)
        {
            Assert.Equal(ConnectionCloseReason.TlsHandshakeTimeout, (asServer ? link.ServerLink : link.ClientLink).CloseReason);
        }
    }

    [Fact, Trait("Contract", "W11")]
    public async Task StartTls_ClosedByThisSideMeanwhile_IsALostConnection()
    {
        Link link = await ConnectAsync();
        Task upgrade = link.Writer.StartTlsAsync(TestCertificate.Server, Soon);

        link.Writer.Close();

        await Assert.ThrowsAsync<ConnectionResetException>(() => upgrade);
        await Assert.ThrowsAsync<ConnectionResetException>(() => link.Writer.StartTlsAsync(TestCertificate.Server, Soon));
    }

    [Theory, Trait("Contract", "W11")]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task StartTls_PeerEndsWithoutCloseNotify_IsATruncationUnlessTheOptionsSayOtherwise(bool asServer, bool required)
    {
        Link link = await ConnectAsync(server => server.TlsRequireCloseNotify = required, client => client.TlsRequireCloseNotify = required);
        await Task.WhenAll(StartTlsAsync(link.Writer, asServer: true, Soon), StartTlsAsync(link.Client.Writer, asServer: false, Soon));
        (ByteStreamReader reader, ByteStreamWriter peer, IByteStreamTransportFeature below) = asServer
            ? (link.Reader, link.Client.Writer, link.ClientLink)
            : (link.Client.Reader, link.Writer, link.ServerLink);
        peer.Write("hello\n"u8);
        Assert.Equal("hello\n", Text(await reader.ReadLineAsync(Soon)));

        below.Close();

        if (required)
        {
            await Assert.ThrowsAsync<TlsTruncatedException>(() => reader.ReadLineAsync(Soon).AsTask());
        }
        else
        {
            Assert.Empty(await reader.ReadLineAsync(Soon));
        }
    }

    private static Task StartTlsAsync(ByteStreamWriter writer, bool asServer, CancellationToken cancellationToken) => asServer
        ? writer.StartTlsAsync(TestCertificate.Server, cancellationToken)
        : writer.StartTlsAsync(TestCertificate.Client, cancellationToken);

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

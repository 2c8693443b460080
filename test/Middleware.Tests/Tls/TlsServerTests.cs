using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Telemetry;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Who gets through the handshake and who does not (F20 to F22), what both sides learn by it, and how it ends (F24).</summary>
public sealed class TlsServerTests : ServedTest
{
    private readonly TestAuthority _authority;
    private int _handled;

    public TlsServerTests() => _authority = Own(new TestAuthority());

    /// <summary>"GET / HTTP/1.0", noise, a record of a version that there is not, one that is cut, and an alert in the place of a ClientHello.</summary>
    private static readonly string[] NoHellos =
    [
        "474554202F20485454502F312E300D0A0D0A", "DEADBEEF00112233445566778899AABBCCDDEEFF", "16090100050100000100", "1603010200010001", "15030100020228",
    ];

    public static TheoryData<Carrier, string> Garbage => new(
        from carrier in Enum.GetValues<Carrier>()
        from hex in NoHellos
        select (carrier, hex));

    [Theory, MemberData(nameof(Garbage))]
    [Trait("Fault", "F20")]
    public async Task Connect_NoTls_IsClosedCountedAndOneLine_F20(Carrier carrier, string hex)
    {
        Served served = await ServeTlsAsync(carrier, _ => { });
        using var handshakes = new MetricCollector<double>(
            served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), ByteStreamMetrics.MeterName, "bytestreams.tls_handshake.duration");
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write(Convert.FromHexString(hex));
        connection.Writer.WriteEof();

        await DiscardAsync(connection);

        await AssertEndedAsync(served, "tls_handshake_failed");
        Assert.Equal("tls_handshake_failed", Assert.Single(handshakes.GetMeasurementSnapshot()).Tags["error.type"]);
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F21")]
    public async Task Connect_HandshakesThatStall_TheOldestMakeRoomAndTheRestEndInTime_F21(Carrier carrier)
    {
        const int most = 50;
        var time = new FakeTimeProvider();
        Served served = await ServeTlsAsync(carrier, tls => tls.MaxHandshakes = most, time);
        var stalled = new List<ByteStreamConnection>();
        for (int i = 0; i < 4 * most; i++)
        {
            stalled.Add(await ConnectAsync(served));
        }

        await AdvanceUntilAsync(time, () => Count(served, "tls_handshake_limit") == 3 * most, TimeSpan.Zero);

        // Another client takes the place of the oldest that is left.
        ByteStreamConnection honest = await ConnectAsync(served, Trust);
        Assert.Equal("still there\n", await AskAsync(honest, "still there\n"));

        await AdvanceUntilAsync(time, () => Count(served, "tls_handshake_timeout") == most - 1, TimeSpan.FromSeconds(1));
        Assert.Equal((3 * most) + 1, Count(served, "tls_handshake_limit"));
        Assert.Equal(1, _handled);
        Assert.Equal("and after\n", await AskAsync(honest, "and after\n"));
        foreach (ByteStreamConnection connection in stalled)
        {
            connection.Writer.Abort();
        }
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F21")]
    public async Task Connect_SilentClient_EndsAtTheHandshakeTimeoutAndNotBefore_F21(Carrier carrier)
    {
        var time = new FakeTimeProvider();
        Served served = await ServeTlsAsync(carrier, _ => { }, time);
        ByteStreamConnection connection = await ConnectAsync(served);
        await UntilAsync(() => served.Metrics.Endpoints.Any(endpoint => endpoint.Handshakes == 1));

        time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Empty(Failures(served));
        await AdvanceUntilAsync(time, () => Failures(served).Any(), TimeSpan.FromSeconds(0.1));

        connection.Writer.Abort();
        Assert.Contains("tls_handshake_timeout", Assert.Single(Failures(served)), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F22")]
    public async Task Connect_ClientCertificates_EachOutcomeHasItsReason_F22(Carrier carrier)
    {
        using var others = new TestAuthority("Somebody else");
        Served served = await ServeTlsAsync(carrier, tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = _authority.CaPath;
            tls.AllowedCommonNames.Add("billing");
        });

        Assert.Equal("right\n", await AskAsync(await ConnectAsync(served, options => Trust(options, _authority.Sign("billing"))), "right\n"));
        await AssertRefusedAsync(served, "tls_certificate_missing", null);
        await AssertRefusedAsync(served, "tls_certificate_expired", _authority.Sign("billing", expired: true));
        await AssertRefusedAsync(served, "tls_certificate_untrusted", others.Sign("billing"));
        await AssertRefusedAsync(served, "tls_name_not_allowed", _authority.Sign("shipping"));
        Assert.Equal(1, _handled);
    }

    [Theory]
    [Trait("Fault", "F22")]
    [InlineData("billing", "a.example", "spiffe://example/ns/a/sa/billing", true)]
    [InlineData("shipping", "a.example", "spiffe://example/ns/b", false)]
    [InlineData("shipping", "b.example", "spiffe://example/ns/b", true)]
    [InlineData("shipping", "B.EXAMPLE", "spiffe://example/ns/b", true)]
    [InlineData("shipping", "c.example", "spiffe://example/ns/a/sa/billing", true)]
    [InlineData("shipping", "c.example", "spiffe://example/prod/anybody", true)]
    [InlineData("shipping", "c.example", "spiffe://example/ns/a/sa/billing2", false)]
    [InlineData("Billing", "c.example", "spiffe://example/ns/b", false)]
    public async Task Connect_RulesByName_OneMatchInOneListIsEnough_F22(string commonName, string dns, string uri, bool allowed)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = _authority.CaPath;
            tls.AllowedCommonNames.Add("billing");
            tls.AllowedDnsNames.Add("b.example");
            tls.AllowedUris.Add("spiffe://example/ns/a/sa/billing");
            tls.AllowedUris.Add("spiffe://example/prod/*");
        });
        X509Certificate2 certificate = _authority.Sign(commonName, [dns], [uri]);

        if (allowed)
        {
            ByteStreamConnection connection = await ConnectAsync(served, options => Trust(options, certificate));
            Assert.Equal("in\n", await AskAsync(connection, "in\n"));
            await connection.DisposeAsync();
            Assert.Contains($"client {uri},", (await served.WaitForSummariesAsync(1, Soon))[0].Message, StringComparison.Ordinal);
        }
        else
        {
            await AssertRefusedAsync(served, "tls_name_not_allowed", certificate);
        }
    }

    [Fact]
    [Trait("Fault", "F22")]
    public async Task Connect_CertificatesAllowed_ServesWhoHasNoneAndNotWhoHasABadOne_F22()
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.ClientCertificates = ClientCertificates.Allow;
            tls.ClientCaPath = _authority.CaPath;
        });

        Assert.Equal("none\n", await AskAsync(await ConnectAsync(served, Trust), "none\n"));
        await AssertRefusedAsync(served, "tls_certificate_expired", _authority.Sign("billing", expired: true));
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F17")]
    public async Task Connect_NameThatForgesALogLine_IsEscaped_F17(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier, tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = _authority.CaPath;
        });
        ByteStreamConnection connection = await ConnectAsync(
            served, options => Trust(options, _authority.Sign("billing\nConnection 7 ended: closed_by_peer\u001b[31m")));
        await AskAsync(connection, "x\n");
        await connection.DisposeAsync();

        string summary = (await served.WaitForSummariesAsync(1, Soon))[0].Message;
        Assert.Contains(@"client billing\u{A}Connection 7 ended: closed_by_peer\u{1B}[31m,", summary, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', summary);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_HandlerAsks_SeesVersionNamesAndProtocol(Carrier carrier)
    {
        Served served = await ServeTlsAsync(
            carrier,
            tls =>
            {
                tls.ApplicationProtocols.Add("echo/2");
                tls.ApplicationProtocols.Add("echo/1");
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = _authority.CaPath;
                tls.MaximumVersion = TlsVersion.Tls12;
            },
            handler: (_, writer, _) =>
            {
                writer.Write($"{writer.TlsProtocol} {writer.TlsServerName} {writer.ApplicationProtocol} {writer.PeerCertificate!.Subject} {writer.CipherSuite == (TlsCipherSuite)writer.GetExtraInfo("cipher")!} ");
                writer.Write($"{writer.GetExtraInfo("sni")} {writer.GetExtraInfo("alpn")} {((X509Certificate2)writer.GetExtraInfo("peercert")!).Subject}\n");
                return Task.CompletedTask;
            });
        ByteStreamConnection connection = await ConnectAsync(served, options =>
        {
            Trust(options, _authority.Sign("billing"));
            options.Tls!.ApplicationProtocols = [new SslApplicationProtocol("echo/1"), new SslApplicationProtocol("echo/2")];
        });

        Assert.Equal(
            "Tls12 localhost echo/2 CN=billing True localhost echo/2 CN=billing\n", Text(await connection.Reader.ReadLineAsync(Soon)));
        Assert.Contains("TLS 1.2, server name localhost, client billing,", (await served.WaitForSummariesAsync(1, Soon))[0].Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls12, SslProtocols.Tls13, false)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls12, SslProtocols.Tls12, true)]
    [InlineData(TlsVersion.Tls13, TlsVersion.Tls13, SslProtocols.Tls12, false)]
    [InlineData(TlsVersion.Tls13, TlsVersion.Tls13, SslProtocols.Tls13, true)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls13, SslProtocols.Tls12, true)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls13, SslProtocols.Tls13, true)]
    public async Task Connect_Versions_AreThoseThatAreOffered(TlsVersion minimum, TlsVersion maximum, SslProtocols client, bool served)
    {
        Served tested = await ServeTlsAsync(Carrier.Own, tls => (tls.MinimumVersion, tls.MaximumVersion) = (minimum, maximum));
        Task<ByteStreamConnection> connecting = ConnectAsync(tested, options =>
        {
            Trust(options);
            options.Tls!.EnabledSslProtocols = client;
        });

        if (served)
        {
            Assert.Equal("x\n", await AskAsync(await connecting, "x\n"));
        }
        else
        {
            await Assert.ThrowsAnyAsync<Exception>(() => connecting);
            await AssertEndedAsync(tested, "tls_handshake_failed");
        }
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F24")]
    public async Task Close_HandlerReturns_SendsCloseNotify_F24(Carrier carrier)
    {
        // TLS 1.2 shows the kind of a record that is encrypted, too.
        Served served = await ServeTlsAsync(
            carrier, tls => tls.MaximumVersion = TlsVersion.Tls12, handler: (_, writer, _) =>
            {
                writer.Write("bye\n");
                return Task.CompletedTask;
            });
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(served.EndPoint, Soon);
        var recorded = new RecordingStream(new NetworkStream(socket));
        await using var tls = new SslStream(recorded);
        await tls.AuthenticateAsClientAsync(Trust(), Soon);

        byte[] rest = new byte[100];
        int length = 0;
        for (int count = -1; count != 0; length += count)
        {
            count = await tls.ReadAsync(rest.AsMemory(length), Soon);
        }

        Assert.Equal("bye\n", Text(rest[..length]));
        // A record of the kind alert (21), and behind it nothing but the end.
        Assert.Equal(21, recorded.LastRecord);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F24")]
    public async Task Read_EndWithoutCloseNotify_IsATruncation_F24(Carrier carrier)
    {
        var end = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(carrier, _ => { }, handler: async (reader, _, stopping) =>
        {
            Assert.Equal("all of it?\n", Text(await reader.ReadLineAsync(stopping)));
            end.SetResult(await Record.ExceptionAsync(async () => await reader.ReadLineAsync(stopping)));
            throw (await end.Task)!;
        });
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(served.EndPoint, Soon);
        await using var tls = new SslStream(new NetworkStream(socket), leaveInnerStreamOpen: true);
        await tls.AuthenticateAsClientAsync(Trust(), Soon);
        await tls.WriteAsync("all of it?\n"u8.ToArray(), Soon);

        socket.Shutdown(SocketShutdown.Send);

        Assert.IsType<TlsTruncatedException>(await end.Task.WaitAsync(Soon));
        await AssertEndedAsync(served, "tls_truncated", handled: 1);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F24")]
    public async Task Read_EndWithCloseNotify_IsTheEnd_F24(Carrier carrier)
    {
        var end = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(carrier, _ => { }, handler: async (reader, _, stopping) => end.SetResult((await reader.ReadAsync(cancellationToken: stopping)).Length));
        ByteStreamConnection connection = await ConnectAsync(served, Trust);

        connection.Writer.WriteEof();

        Assert.Equal(0, await end.Task.WaitAsync(Soon));
        await AssertEndedAsync(served, "closed_by_peer", handled: 1);
    }

    private Task<Served> ServeTlsAsync(Carrier carrier, Action<TlsServerOptions> configure, TimeProvider? time = null, ByteStreamDelegate? handler = null) => ServeAsync(
        carrier,
        builder => builder.UseTelemetry().UseTls(tls =>
        {
            tls.Certificates.Add(_authority.Write("localhost"));
            configure(tls);
        }),
        (reader, writer, stopping) =>
        {
            Interlocked.Increment(ref _handled);
            return (handler ?? Echo)(reader, writer, stopping);
        },
        time);

    private SslClientAuthenticationOptions Trust() => new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions();

    private void Trust(ByteStreamClientOptions options) => Trust(options, null);

    private void Trust(ByteStreamClientOptions options, X509Certificate2? certificate)
    {
        options.Tls = Trust();
        if (certificate is not null)
        {
            options.Tls.ClientCertificates = [certificate];
        }
    }

    /// <summary>With TLS 1.3 the client is done before the server has judged: it hears of it at its first read.</summary>
    private async Task AssertRefusedAsync(Served served, string reason, X509Certificate2? certificate)
    {
        int before = served.Summaries.Count;
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            ByteStreamConnection connection = await ConnectAsync(served, options => Trust(options, certificate));
            await connection.Reader.ReadExactlyAsync(1, Soon);
        });

        Assert.Contains($"ended: {reason}.", (await served.WaitForSummariesAsync(before + 1, Soon))[^1].Message, StringComparison.Ordinal);
        Assert.Contains($"({reason})", Failures(served).Last(), StringComparison.Ordinal);
    }

    private async Task AssertEndedAsync(Served served, string reason, int handled = 0)
    {
        Assert.Contains($"ended: {reason}.", Assert.Single(await served.WaitForSummariesAsync(1, Soon)).Message, StringComparison.Ordinal);
        Assert.Equal(handled, _handled);
        if (handled == 0)
        {
            Assert.Contains($"({reason})", Assert.Single(Failures(served)), StringComparison.Ordinal);
        }
    }

    private async Task DiscardAsync(ByteStreamConnection connection)
    {
        try
        {
            await connection.Reader.ReadAsync(cancellationToken: Soon);
        }
        catch (ConnectionResetException)
        {
            // Bytes that nobody has read make an end a reset on the stock transport.
        }
    }

    private async Task AdvanceUntilAsync(FakeTimeProvider time, Func<bool> condition, TimeSpan step)
    {
        while (!condition())
        {
            time.Advance(step);
            await Task.Delay(2, Soon);
        }
    }

    private static IEnumerable<string> Failures(Served served) => served.Log.GetSnapshot().Where(record => record.Id.Id == 200).Select(record => record.Message);

    private static int Count(Served served, string reason) => Failures(served).Count(line => line.Contains($"({reason})", StringComparison.Ordinal));

    /// <summary>Follows the records of what is received.</summary>
    private sealed class RecordingStream(Stream inner) : Stream
    {
        private readonly byte[] _head = new byte[5];
        private int _headLength;
        private int _left;

        public int LastRecord { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = await inner.ReadAsync(buffer, cancellationToken);
            foreach (byte value in buffer[..count].ToArray())
            {
                if (_left > 0)
                {
                    _left--;
                    continue;
                }

                _head[_headLength++] = value;
                if (_headLength == 5)
                {
                    (LastRecord, _left, _headLength) = (_head[0], (_head[3] << 8) | _head[4], 0);
                }
            }

            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => inner.WriteAsync(buffer, cancellationToken);

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}

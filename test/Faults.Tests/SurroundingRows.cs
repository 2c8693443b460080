using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Middleware.Tests;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Faults.Tests;

/// <summary>What becomes of handshakes and headers that are none, or no harmless ones: F17, and F20 to F32.</summary>
public sealed class SurroundingRows : FaultTest
{
    private readonly AuthorityFiles _authority = new();

    public SurroundingRows() => Own((IDisposable)_authority);

    [Fact, Trait("Fault", "F17")]
    public async Task F17_NamesThatForgeLogLines_StayWithinTheirLine()
    {
        const int Each = 10;
        const string Forged = "\r\nConnection 1 ended: closed_by_peer.\u001b[2J";
        Served served = await BeginAsync(Echo, builder => builder
            .UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"))
            .UseTls(tls =>
            {
                tls.Certificates.Add(_authority.Write("localhost"));
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = _authority.CaPath;
            }));
        using X509Certificate2 certificate = _authority.Authority.IssueClient($"mallory{Forged}");
        var path = new UnixDomainSocketEndPoint($"/run/x{Forged}");
        var options = new ByteStreamClientOptions { Tls = Trusting(certificate), ProxyHeader = new ProxyHeader { Source = path, Destination = path } };
        for (int i = 0; i < Each; i++)
        {
            // In a path that a PROXY header tells, in a certificate's name, and in a header that is none.
            await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(served.EndPoint, options, Soon))
            {
                Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
            }

            Socket socket = await ConnectPlainAsync(served.EndPoint);
            await socket.SendAsync(Encoding.Latin1.GetBytes($"PROXY {Forged}\r\n"), Soon);
            await UntilEndedAsync(socket);
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Each), ("proxy_invalid", Each));
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Message.Any(char.IsControl));
        Assert.Equal(Each, served.Summaries.Count(line => line.Message.Contains(@"client mallory\u{D}\u{A}Connection 1 ended: ", StringComparison.Ordinal)));
    }

    [Fact, Trait("Fault", "F20")]
    public async Task F20_PlainTextAndGarbageToTls_AreOneQuietLineEach()
    {
        const int Each = 50;
        bool handled = false;
        Served served = await BeginTlsAsync(_ => { }, (_, _, _) =>
        {
            handled = true;
            return Task.CompletedTask;
        });
        var random = new Random(20);
        for (int i = 0; i < Each; i++)
        {
            byte[] garbage = new byte[random.Next(20, 500)];
            random.NextBytes(garbage);
            foreach (byte[] bytes in (byte[][])["GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), garbage])
            {
                Socket socket = await ConnectPlainAsync(served.EndPoint);
                await socket.SendAsync(bytes, Soon);
                socket.Shutdown(SocketShutdown.Send);
                await UntilEndedAsync(socket);
            }
        }

        await AssertRecoveredAsync(served, ("tls_handshake_failed", 2 * Each));
        Assert.False(handled);
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information);
        Assert.Equal(2 * Each, served.Log.GetSnapshot().Count(record => record.Id.Id == 200));
    }

    [Fact, Trait("Fault", "F21")]
    public async Task F21_TwoThousandStalledHandshakes_AreCappedAndEnd()
    {
        const int Cap = 500;
        const int Stalled = 2000;
        Served served = await BeginTlsAsync(tls => (tls.MaxHandshakes, tls.HandshakeTimeout) = (Cap, TimeSpan.FromSeconds(4)), Echo);
        Socket[] stalled = await ConnectManyAsync(served.EndPoint, Stalled);
        await Patience.UntilAsync(() => served.Summaries.Count, now => now >= Stalled - Cap);
        Assert.InRange(served.Metrics.Endpoints.Sum(endpoint => endpoint.Handshakes), 1, Cap);

        // Others are served meanwhile, each of which takes the place of one more.
        await using (ByteStreamConnection client = await ConnectTlsAsync(served))
        {
            Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        }

        await Task.WhenAll(stalled.Select(UntilEndedAsync));
        await AssertRecoveredAsync(served, ("tls_handshake_limit", Stalled - Cap + 1), ("tls_handshake_timeout", Cap - 1), ("closed_by_peer", 1));
        Figure($"{Stalled:N0} stalled, {Cap} in progress at most");
    }

    [Fact, Trait("Fault", "F22")]
    public async Task F22_ClientCertificatesThatAreNotRight_EachHasItsReason()
    {
        using var stranger = new AuthorityFiles();
        Served served = await BeginTlsAsync(
            tls =>
            {
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = _authority.CaPath;
                tls.AllowedCommonNames.Add("alice");
            },
            Echo);
        using X509Certificate2 expired = _authority.Authority.IssueExpiredClient("alice");
        using X509Certificate2 unknown = stranger.Authority.IssueClient("alice");
        using X509Certificate2 other = _authority.Authority.IssueClient("mallory");
        using X509Certificate2 right = _authority.Authority.IssueClient("alice");
        foreach (X509Certificate2? certificate in (X509Certificate2?[])[null, expired, unknown, other])
        {
            Assert.IsAssignableFrom<Exception>(await Record.ExceptionAsync(async () =>
            {
                await using ByteStreamConnection refused = await ConnectTlsAsync(served, certificate);
                await refused.Reader.ReadExactlyAsync(1, Soon);
            }));
        }

        await using (ByteStreamConnection client = await ConnectTlsAsync(served, right))
        {
            Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        }

        await AssertRecoveredAsync(
            served,
            ("tls_certificate_missing", 1), ("tls_certificate_expired", 1), ("tls_certificate_untrusted", 1), ("tls_name_not_allowed", 1), ("closed_by_peer", 1));
    }

    [Fact, Trait("Fault", "F23")]
    public async Task F23_CertificateReplacedUnderConnections_NoneIsRefusedOrAbortedAndABrokenPairChangesNothing()
    {
        const int Each = 10;
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        TlsCertificateOptions files = _authority.Write("old");
        Served served = await BeginAsync(Echo, builder => builder.UseTls(tls => tls.Certificates.Add(files)), time: time);
        var open = new List<ByteStreamConnection>();
        await ConnectEachAsync("old");
        TlsCertificateOptions next = _authority.Write("new");
        File.Copy(next.KeyPath!, files.KeyPath!, overwrite: true);
        File.Copy(next.Path!, files.Path!, overwrite: true);
        time.Advance(TimeSpan.FromSeconds(1));
        await ConnectEachAsync("new");

        // The first look may come between two files; the second tells.
        await File.WriteAllTextAsync(files.Path!, "broken", Soon);
        time.Advance(TimeSpan.FromSeconds(1));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Single(served.Log.GetSnapshot(), record => record.Level == LogLevel.Error);
        await ConnectEachAsync("new");

        foreach (ByteStreamConnection connection in open)
        {
            Assert.Equal("still there?\n", await AskAsync(connection, "still there?\n"));
            await connection.DisposeAsync();
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", 3 * Each));

        async Task ConnectEachAsync(string name)
        {
            for (int i = 0; i < Each; i++)
            {
                ByteStreamConnection client = await ConnectTlsAsync(served);
                Own((IAsyncDisposable)client);
                open.Add(client);
                Assert.Equal(name, client.Writer.PeerCertificate!.GetNameInfo(X509NameType.SimpleName, forIssuer: false));
                Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
            }
        }
    }

    [Fact, Trait("Fault", "F24")]
    public async Task F24_EndsWithAndWithoutCloseNotify_HaveDifferentReasons()
    {
        const int Each = 20;
        var seen = new ConcurrentQueue<Exception?>();
        Served served = await BeginTlsAsync(tls => tls.RequireCloseNotify = true, async (reader, _, stopping) =>
        {
            Exception? error = await Record.ExceptionAsync(async () => await reader.ReadAsync(cancellationToken: stopping));
            seen.Enqueue(error);
            if (error is not null)
            {
                throw error;
            }
        });
        for (int i = 0; i < 2 * Each; i++)
        {
            Socket socket = await ConnectPlainAsync(served.EndPoint);
            using var tls = new SslStream(new NetworkStream(socket), leaveInnerStreamOpen: true);
            await tls.AuthenticateAsClientAsync(Trusting(null), Soon);
            await tls.WriteAsync("all of it?"u8.ToArray(), Soon);
            if (i % 2 == 0)
            {
                await tls.ShutdownAsync();
                // The server's own close_notify, and nothing else, comes before its end.
                Assert.Equal(0, await tls.ReadAsync(new byte[1], Soon));
            }

            socket.Shutdown(SocketShutdown.Send);
            await UntilEndedAsync(socket);
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Each), ("tls_truncated", Each));
        Assert.Equal(Each, seen.Count(error => error is TlsTruncatedException));
        Assert.Equal(Each, seen.Count(error => error is null));
    }

    [Fact, Trait("Fault", "F30")]
    public async Task F30_HeadersThatAreNone_AreClosedBeforeAnything()
    {
        int handled = 0;
        Served served = await BeginAsync(
            (_, _, _) =>
            {
                Interlocked.Increment(ref handled);
                return Task.CompletedTask;
            },
            builder => builder.UseProxyProtocol(proxy =>
            {
                proxy.TrustedNetworks.Add("127.0.0.0/8");
                proxy.Timeout = TimeSpan.FromSeconds(2);
            }));
        byte[][] wrong =
        [
            [.. "GET / HTTP/1.1\r\n"u8], [.. "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"u8], [.. "PROXY TCP4 1.2.3.4 1.2.3.4 1"u8],
            [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x31, 0x11, 0, 0],
        ];
        foreach (byte[] bytes in wrong)
        {
            Socket socket = await ConnectPlainAsync(served.EndPoint);
            await socket.SendAsync(bytes, Soon);
            socket.Shutdown(SocketShutdown.Send);
            await UntilEndedAsync(socket);
        }

        Socket[] slow = await ConnectManyAsync(served.EndPoint, 50);
        await Task.WhenAll(slow.Select(socket => socket.SendAsync("PROXY TCP4"u8.ToArray(), Soon).AsTask()));
        await Task.WhenAll(slow.Select(UntilEndedAsync));

        await AssertRecoveredAsync(served, ("proxy_invalid", wrong.Length), ("proxy_timeout", slow.Length));
        Assert.Equal(0, handled);
    }

    [Fact, Trait("Fault", "F31")]
    public async Task F31_HeaderFromElsewhere_IsRefusedAndCounted()
    {
        const int Count = 100;
        Served served = await BeginAsync(Echo, builder => builder.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("192.0.2.0/24")));
        for (int i = 0; i < Count; i++)
        {
            await AssertRefusedAsync(served.EndPoint);
        }

        await AssertRecoveredAsync(served, ("proxy_untrusted", Count));
    }

    [Fact, Trait("Fault", "F32")]
    public async Task F32_HeaderHandshakeAndRequestAtOnce_AreAllUnderstood()
    {
        const int Count = 50;
        Served served = await BeginAsync(
            (reader, writer, stopping) => AnswerAsync(reader, writer, stopping),
            builder => builder
                .UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"))
                .UseTls(tls => tls.Certificates.Add(_authority.Write("localhost"))));
        var client = new ByteStreamClientOptions
        {
            Tls = Trusting(null),
            ProxyHeader = new ProxyHeader { Source = new IPEndPoint(IPAddress.Parse("192.0.2.1"), 51324), Destination = new IPEndPoint(IPAddress.Parse("192.0.2.2"), 443) },
        };
        // What leaves within 20 ms arrives in one segment.
        var together = new ChaosOptions { MinPiece = 65536, MaxPiece = 65536, CoalesceChance = 1, Hold = TimeSpan.FromMilliseconds(20) };
        await using (ChaosRelay relay = await ChaosRelay.StartAsync(served.EndPoint, together))
        {
            for (int i = 0; i < Count; i++)
            {
                await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(relay.EndPoint, client, Soon);
                Assert.Equal("192.0.2.1:51324 hello\n", await AskAsync(connection, "hello\n"));
            }

            await Patience.UntilAsync(() => relay.Open, now => now == 0);
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));

        static async Task AnswerAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                writer.Write($"{writer.RemoteEndPoint} ");
                writer.Write(line);
            }
        }
    }

    private Task<Served> BeginTlsAsync(Action<TlsServerOptions> configure, ByteStreamDelegate handler) => BeginAsync(handler, builder => builder.UseTls(tls =>
    {
        tls.Certificates.Add(_authority.Write("localhost"));
        configure(tls);
    }));

    private SslClientAuthenticationOptions Trusting(X509Certificate2? certificate) => new()
    {
        TargetHost = "localhost",
        ClientCertificateContext = certificate is null ? null : SslStreamCertificateContext.Create(certificate, null, offline: true),
        CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            CustomTrustStore = { _authority.Authority.Certificate },
            RevocationMode = X509RevocationMode.NoCheck,
        },
    };

    private Task<ByteStreamConnection> ConnectTlsAsync(Served served, X509Certificate2? certificate = null) =>
        ByteStream.OpenConnectionAsync(served.EndPoint, new ByteStreamClientOptions { Tls = Trusting(certificate) }, Soon);
}

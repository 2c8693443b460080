using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Handshakes that a peer makes fail: the log and the close reason are the same where the server speaks TLS at once and where a handler upgrades.</summary>
public sealed class StartTlsServerTests : TlsTest
{
    /// <summary>Who speaks TLS with the client.</summary>
    public enum Speaker
    {
        /// <summary><c>UseTls</c>.</summary>
        Middleware,

        /// <summary><c>ByteStreamServerOptions.Tls</c>.</summary>
        Options,

        /// <summary>A handler, with <c>StartTlsAsync</c>, whose exception escapes.</summary>
        Handler,
    }

    public static TheoryData<Carrier, Speaker> Speakers => new()
    {
        { Carrier.Own, Speaker.Middleware },
        { Carrier.Own, Speaker.Options },
        { Carrier.Own, Speaker.Handler },
        { Carrier.Stock, Speaker.Middleware },
        { Carrier.Stock, Speaker.Handler },
    };

    public static TheoryData<Carrier, Speaker, string> SpeakersAndNoTls
    {
        get
        {
            var rows = new TheoryData<Carrier, Speaker, string>();
            foreach ((Carrier carrier, Speaker speaker) in Speakers.Select(row => row.Data))
            {
                foreach (string sent in (string[])
                [
                    "\u0016\u0003\u0001\u0000\u0004abcd",
                    "\u0016\u0003\u0001\u0000\u0005\u0001\u0000\u0000\u0001\u0003",
                    "\u0016\u00ff\u00ff\u00ff\u00ff\u00ff",
                    "\u0016\u0003\u0001\u0000\u0000",
                ])
                {
                    rows.Add(carrier, speaker, sent);
                }
            }

            return rows;
        }
    }

    [Theory, MemberData(nameof(SpeakersAndNoTls)), Trait("Fault", "F20")]
    public async Task Handshake_PeerSendsGarbage_IsOneLineAtInformation(Carrier carrier, Speaker speaker, string sent)
    {
        Served served = await ServeAsync(carrier, speaker);
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync(Encoding.Latin1.GetBytes(sent), Soon);
        // What is not enough for a record is not judged before its end.
        client.Shutdown(SocketShutdown.Send);

        byte[] answer = await ReadToEndAsync(client);

        Assert.True(answer is [] or [0x15, 0x03, _, 0, 2, 2, _], Convert.ToHexString(answer));
        await AssertFailureAsync(served, "tls_handshake_failed", "tls_handshake_failed");
    }

    [Theory]
    [InlineData(Carrier.Own)]
    [InlineData(Carrier.Stock)]
    [Trait("Fault", "F20")]
    public async Task StartTls_PeerSendsPlainBytesAtOnce_IsOneLineAtInformation(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, Speaker.Handler, before: async reader => await reader.ReadLineAsync(Soon));
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync("STARTTLS\nRSET\n"u8.ToArray(), Soon);

        Assert.Empty(await ReadToEndAsync(client));

        await AssertFailureAsync(served, "tls_handshake_failed", "tls_handshake_failed", "5 plain bytes arrived before it");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F20")]
    public async Task Handshake_PeerLeaves_IsOneLineAtInformation(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker);
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync((byte[])[0x16, 3, 1, 2], Soon);
        client.Shutdown(SocketShutdown.Both);
        client.Dispose();

        await AssertFailureAsync(served, "tls_handshake_failed", "tls_handshake_failed");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F20")]
    public async Task Handshake_PeerResets_IsOneLineAtInformation(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker);
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync((byte[])[0x16, 3, 1, 2], Soon);
        // A handler that has not begun its handshake meets the reset elsewhere: the bytes are counted when they are read for it.
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Received), now => now == 4);
        client.LingerState = new LingerOption(true, 0);
        client.Dispose();

        await AssertFailureAsync(served, "tls_handshake_failed", "reset_by_peer");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F20")]
    public async Task Handshake_PeerSpeaksAnOldVersion_IsOneLineAtInformation(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker, protocols: SslProtocols.Tls13);
        Socket client = await ConnectPlainAsync(served);

        await Assert.ThrowsAsync<AuthenticationException>(
            () => AuthenticateAsync(new NetworkStream(client), Client(protocols: SslProtocols.Tls12)));

        await AssertFailureAsync(served, "tls_handshake_failed", "tls_handshake_failed");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F22")]
    public async Task Handshake_ClientShowsNoCertificate_IsOneLineAtInformation(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker, clientCertificate: true);
        await AssertNotServedAsync(served, Client());

        await AssertFailureAsync(served, "tls_certificate_missing", "tls_certificate_missing", "the client sent no certificate");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F22")]
    public async Task Handshake_ClientShowsAStrangersCertificate_IsOneLineAtInformation(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker, clientCertificate: true);
        using X509Certificate2 stranger = new ByteStreams.Testing.TestAuthority("Another").IssueClient("alice");
        await AssertNotServedAsync(served, Client(stranger));

        await AssertFailureAsync(served, "tls_certificate_untrusted", "tls_certificate_untrusted", "the client's certificate is not trusted");
    }

    [Theory, MemberData(nameof(Speakers)), Trait("Fault", "F22")]
    public async Task Handshake_ClientShowsItsCertificate_IsServed(Carrier carrier, Speaker speaker)
    {
        Served served = await ServeAsync(carrier, speaker, clientCertificate: true);
        using X509Certificate2 alice = Authority.IssueClient("alice");

        ByteStreamConnection client = await ConnectTlsAsync(served, Client(alice));

        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
    }

    [Theory]
    [InlineData(Speaker.Middleware)]
    [InlineData(Speaker.Options)]
    [InlineData(Speaker.Handler)]
    [Trait("Fault", "F21")]
    public async Task Handshake_PeerStalls_IsOneLineAtInformation(Speaker speaker)
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        Served served = await ServeAsync(Carrier.Own, speaker, time: time);
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync((byte[])[0x16, 3, 1, 2], Soon);
        Task<byte[]> end = ReadToEndAsync(client);
        while (!end.IsCompleted)
        {
            // The handshake begins on another thread, and its time with it.
            time.Advance(TimeSpan.FromSeconds(10));
            await Task.Delay(5, Soon);
        }

        Assert.Empty(await end);
        client.Dispose();
        await AssertFailureAsync(served, "tls_handshake_timeout", "tls_handshake_timeout");
    }

    [Theory]
    [InlineData(Speaker.Middleware, false)]
    [InlineData(Speaker.Middleware, true)]
    [InlineData(Speaker.Options, false)]
    [InlineData(Speaker.Options, true)]
    [InlineData(Speaker.Handler, false)]
    [InlineData(Speaker.Handler, true)]
    [Trait("Contract", "S5")]
    public async Task Handshake_ServerEndsItsClientsMeanwhile_IsNotAnError(Speaker speaker, bool abort)
    {
        Served served = await ServeAsync(Carrier.Own, speaker);
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync((byte[])[0x16, 3, 1, 2], Soon);
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Active), now => now == 1);

        if (abort)
        {
            served.Server.AbortClients();
        }
        else
        {
            served.Server.CloseClients();
        }

        Assert.Empty(await ReadToEndAsync(client));
        client.Dispose();
        Assert.Equal(abort ? "server_shutdown" : "closed_locally", Assert.Single(await served.WaitForSummariesAsync(1)).GetStructuredStateValue("Reason"));
        Assert.All(Told(served), line => Assert.True(line.Level == LogLevel.Information && line.Exception is null, $"{line.Message} {line.Exception}"));
    }

    [Theory]
    [InlineData(Carrier.Own, true)]
    [InlineData(Carrier.Own, false)]
    [InlineData(Carrier.Stock, true)]
    [InlineData(Carrier.Stock, false)]
    public async Task StartTls_FailedAndTheHandlerGoesOn_NothingIsWrittenInTheClear(Carrier carrier, bool telemetry)
    {
        Served served = await ServeAsync(
            carrier,
            builder => _ = telemetry ? builder.UseTelemetry() : builder,
            async (reader, writer, stopping) =>
            {
                using X509Certificate2 certificate = Authority.IssueServer("localhost");
                Assert.IsType<AuthenticationException>(
                    await Record.ExceptionAsync(() => writer.StartTlsAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, stopping)));
                Assert.True(writer.IsClosing);
                writer.Write("SECRET"u8);
            });
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync("\u0016\u0003\u0001\u0000\u0004abcd"u8.ToArray(), Soon);

        Assert.DoesNotContain("SECRET", Encoding.Latin1.GetString(await ReadToEndAsync(client)), StringComparison.Ordinal);
        client.Dispose();
        if (telemetry)
        {
            Assert.Equal("tls_handshake_failed", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
        }

        Assert.DoesNotContain(Told(served), record => record.Level > LogLevel.Warning || record.Id.Id == 200);
    }

    [Fact]
    public async Task StartTls_OfAnotherConnectionFails_IsTheHandlersOwnError()
    {
        Served backend = await ServeAsync(Carrier.Own, _ => { }, (_, writer, _) =>
        {
            writer.Write("no TLS here\n"u8);
            return Task.CompletedTask;
        });
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (_, _, stopping) =>
        {
            await using ByteStreamConnection upstream = await ByteStream.OpenConnectionAsync(backend.EndPoint, cancellationToken: stopping);
            await upstream.Writer.StartTlsAsync(Client(), stopping);
        });
        await ReadToEndAsync(await ConnectPlainAsync(served));

        Assert.Equal("handler_error", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
        FakeLogRecord line = Assert.Single(Told(served));
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.IsType<AuthenticationException>(line.Exception);
    }

    [Fact]
    public async Task Facts_UseHttpsAfterItsEnd_AreAbsentAndDoNotThrow()
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        var found = new TaskCompletionSource<ByteStreamWriter>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(
            Carrier.Stock,
            builder => ((Microsoft.AspNetCore.Server.Kestrel.Core.ListenOptions)builder).UseHttps(certificate),
            async (reader, writer, stopping) =>
            {
                Assert.NotNull(writer.CipherSuite);
                await reader.ReadLineAsync(stopping);
                found.SetResult(writer);
            });
        Socket socket = await ConnectPlainAsync(served);
        SslStream client = await AuthenticateAsync(new NetworkStream(socket));
        await client.WriteAsync("bye\n"u8.ToArray(), Soon);
        ByteStreamWriter writer = await found.Task.WaitAsync(Soon);
        await Patience.UntilAsync(() => writer.SslStream is not { IsAuthenticated: true });

        Assert.All(
            (string[])["peername", "sockname", "socket", "peercred", "ssl_object", "sslcontext", "peercert", "cipher", "alpn", "sni"],
            name => Assert.Null(Record.Exception(() => writer.GetExtraInfo(name))));
        Assert.Null(writer.CipherSuite);
        Assert.Null(writer.TlsProtocol);
        Assert.Null(writer.PeerCertificate);
    }

    private static async Task AssertFailureAsync(Served served, string logged, string closed, string explanation = "")
    {
        Assert.Equal(closed, Assert.Single(await served.WaitForSummariesAsync(1)).GetStructuredStateValue("Reason"));
        FakeLogRecord line = Assert.Single(Told(served));
        Assert.True(line.Exception is null, $"{line.Exception}");
        Assert.Equal((LogLevel.Information, 200, "ByteStreams.Tls"), (line.Level, line.Id.Id, line.Category));
        Assert.Null(line.Exception);
        Assert.Matches($@"^Connection \S+ from 127\.0\.0\.1:\d+: TLS handshake failed \(server name \S+, reason {logged}\): .+$", line.Message);
        Assert.Contains(explanation, line.Message, StringComparison.Ordinal);
    }

    /// <summary>Echoes lines over TLS, whoever speaks it.</summary>
    private async Task<Served> ServeAsync(
        Carrier carrier, Speaker speaker, bool clientCertificate = false, SslProtocols protocols = SslProtocols.None, TimeProvider? time = null,
        Func<ByteStreamReader, Task>? before = null)
    {
        if (speaker == Speaker.Middleware)
        {
            return await ServeTlsAsync(
                carrier,
                tls =>
                {
                    tls.ClientCertificates = clientCertificate ? ClientCertificates.Require : ClientCertificates.None;
                    tls.MinimumVersion = protocols == SslProtocols.Tls13 ? TlsVersion.Tls13 : TlsVersion.Tls12;
                },
                time: time,
                before: builder => builder.UseTelemetry());
        }

        X509Certificate2 certificate = Own(Authority.IssueServer("localhost"));
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(certificate, null, offline: true),
            ClientCertificateRequired = clientCertificate,
            EnabledSslProtocols = protocols,
            CertificateChainPolicy = !clientCertificate ? null : new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { Authority.Certificate },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        };
        return await ServeAsync(
            carrier,
            builder =>
            {
                builder.UseTelemetry();
                if (speaker == Speaker.Options)
                {
                    ((ByteStreamServerOptions)builder).Tls = options;
                }
            },
            async (reader, writer, stopping) =>
            {
                if (speaker == Speaker.Handler)
                {
                    await (before?.Invoke(reader) ?? Task.CompletedTask);
                    await writer.StartTlsAsync(options, CancellationToken.None);
                }

                await Echo(reader, writer, stopping);
            },
            time);
    }
}

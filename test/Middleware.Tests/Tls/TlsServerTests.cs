using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Testing;
using ByteStreams.Tls;
using ByteStreams.Tls.OpenSsl;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Who gets through the handshake, who does not and why, and how TLS connections end (F17, F20, F21, F22, F24).</summary>
public sealed class TlsServerTests : TlsTest
{
    public static TheoryData<Carrier, SslProtocols> CarriersAndVersions => new MatrixTheoryData<Carrier, SslProtocols>(
        [Carrier.Own, Carrier.Stock], [SslProtocols.Tls12, SslProtocols.Tls13]);

    public static TheoryData<Carrier, string> CarriersAndEnds =>
        new MatrixTheoryData<Carrier, string>([Carrier.Own, Carrier.Stock], ["returned", "failed", "aborted", "reset"]);

    public static TheoryData<Carrier, string> CarriersAndNoTls => new MatrixTheoryData<Carrier, string>([Carrier.Own, Carrier.Stock],
    [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\0\0\0\0\0\0\0\0",
        // A record with a handshake in it that is none, one whose ClientHello ends before its version, an SSL 2 hello, an alert.
        "\u0016\u0003\u0001\u0000\u0004abcd",
        "\u0016\u0003\u0001\u0000\u0005\u0001\u0000\u0000\u0001\u0003",
        "\u0080\u002e\u0001\u0000\u0002\u0000\u0015\u0000\u0000\u0000\u0010\u0001\u0000\u0080",
        "\u0015\u0003\u0003\u0000\u0002\u0002\u0028",
        new('\u00ff', 100_000),
    ]);

    public static TheoryData<Carrier, SslProtocols, string, TlsEngine> CarriersAndRefused => new MatrixTheoryData<Carrier, SslProtocols, string, TlsEngine>(
        [Carrier.Own, Carrier.Stock], [SslProtocols.Tls12, SslProtocols.Tls13], ["missing", "expired", "unknown", "server's", "stranger"],
        [TlsEngine.SslStream, .. OpenSslLibrary.Missing is null ? [TlsEngine.OpenSsl] : (TlsEngine[])[]]);

    [Theory, MemberData(nameof(CarriersAndNoTls)), Trait("Fault", "F20")]
    public async Task Handshake_PeerSpeaksNoTls_IsClosedCountedAndLoggedOnce(Carrier carrier, string sent)
    {
        bool handled = false;
        Served served = await ServeTlsAsync(carrier, handler: (_, _, _) =>
        {
            handled = true;
            return Task.CompletedTask;
        });
        using MetricCollector<double> handshakes = CollectHandshakes(served);
        Socket client = await ConnectPlainAsync(served);

        // It may be closed before everything was sent.
        Task sending = SendAllAsync(client, Encoding.Latin1.GetBytes(sent));
        byte[] answer = await ReadToEndAsync(client);
        await Record.ExceptionAsync(() => sending);

        // Nothing but an alert of seven bytes comes back, and often not even that.
        Assert.True(answer is [] or [0x15, 0x03, _, 0, 2, 2, _], Convert.ToHexString(answer));
        FakeLogRecord line = Assert.Single(await WaitForFailuresAsync(served, 1));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Matches(@"^Connection \S+ from 127\.0\.0\.1:\d+: TLS handshake failed \(server name \S+, reason tls_handshake_failed\): .+$", line.Message);
        Assert.DoesNotContain(line.Message, char.IsControl);
        Assert.Single(Told(served));
        Assert.Equal("tls_handshake_failed", Assert.Single(handshakes.GetMeasurementSnapshot()).Tags["error.type"]);
        Assert.False(handled);
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F20")]
    public async Task Handshake_PeerClosesAtOnce_IsLoggedAtInformation(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier);
        (await ConnectPlainAsync(served)).Dispose();

        FakeLogRecord line = Assert.Single(await WaitForFailuresAsync(served, 1));
        Assert.Contains("reason tls_handshake_failed): ", line.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information);
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F20")]
    public async Task Handshake_Failed_TheSummaryHasTheSameReason(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier, before: builder => builder.UseTelemetry());
        Socket client = await ConnectPlainAsync(served);
        await client.SendAsync("hello\n"u8.ToArray(), Soon);
        await ReadToEndAsync(client);
        client.Dispose();

        Assert.Equal("tls_handshake_failed", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F21")]
    public async Task Handshake_200Stall_OthersAreServedAndTheTimeoutEndsEach(Carrier carrier)
    {
        const int Stalled = 200;
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        Served served = await ServeTlsAsync(carrier, time: time);
        using MetricCollector<double> handshakes = CollectHandshakes(served);
        Socket[] stalled = await Task.WhenAll(Enumerable.Range(0, Stalled).Select(_ => ConnectPlainAsync(served)));
        // Half of them begin a record and send no more of it.
        await Task.WhenAll(stalled.Where((_, i) => i % 2 == 0).Select(socket => socket.SendAsync((byte[])[0x16, 3, 1, 2], Soon).AsTask()));
        await Patience.UntilAsync(() => InProgress(served), now => now == Stalled);
        using var active = new MetricCollector<long>(
            served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), "ByteStreams", "bytestreams.active_tls_handshakes");
        active.RecordObservableInstruments();
        Assert.Equal(Stalled, active.LastMeasurement!.Value);

        ByteStreamConnection client = await ConnectTlsAsync(served);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));

        time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Equal(Stalled, InProgress(served));
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.All(await Task.WhenAll(stalled.Select(ReadToEndAsync)), Assert.Empty);
        IReadOnlyList<FakeLogRecord> lines = await WaitForFailuresAsync(served, Stalled);
        Assert.All(lines, line => Assert.EndsWith("reason tls_handshake_timeout): The TLS handshake timed out after 10 s.", line.Message, StringComparison.Ordinal));
        Assert.Equal(
            Stalled, handshakes.GetMeasurementSnapshot().Count(each => each.Tags.TryGetValue("error.type", out object? type) && type is "tls_handshake_timeout"));
        await Patience.UntilAsync(() => InProgress(served), now => now == 0);
        Assert.Equal("still here\n", await AskAsync(client, "still here\n"));
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F21")]
    public async Task Handshake_OneMoreThanTheCap_EndsTheOldest(Carrier carrier)
    {
        const int Cap = 20;
        Served served = await ServeTlsAsync(carrier, tls => tls.MaxHandshakes = Cap, time: new FakeTimeProvider(DateTimeOffset.UtcNow));
        var stalled = new List<Socket>();
        for (int i = 1; i <= Cap; i++)
        {
            stalled.Add(await ConnectPlainAsync(served));
            int begun = i;
            await Patience.UntilAsync(() => InProgress(served), now => now == begun);
        }

        for (int i = 0; i < 5; i++)
        {
            await ConnectPlainAsync(served);
            // The oldest, and it alone.
            Assert.Empty(await ReadToEndAsync(stalled[i]));
            Assert.Equal(i + 1, (await WaitForFailuresAsync(served, i + 1)).Count);
        }

        await Patience.UntilAsync(() => InProgress(served), now => now == Cap);
        ByteStreamConnection client = await ConnectTlsAsync(served);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        Assert.All(
            await WaitForFailuresAsync(served, 6),
            line => Assert.Contains("reason tls_handshake_limit): evicted as the oldest handshake at the limit", line.Message, StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(CarriersAndVersions)), Trait("Fault", "F22")]
    public async Task Handshake_RightClientCertificate_IsServedAndSeen(Carrier carrier, SslProtocols version)
    {
        using X509Certificate2 certificate = Authority.IssueClient("alice");
        var seen = new TaskCompletionSource<X509Certificate2?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(carrier, tls => tls.ClientCertificates = ClientCertificates.Require, (reader, writer, stopping) =>
        {
            seen.SetResult(writer.PeerCertificate is { } peer ? X509CertificateLoader.LoadCertificate(peer.RawData) : null);
            return Echo(reader, writer, stopping);
        });
        ByteStreamConnection client = await ConnectTlsAsync(served, Client(certificate, protocols: version));

        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        Assert.Equal(certificate.Thumbprint, (await seen.Task.WaitAsync(Soon))!.Thumbprint);
        Assert.Equal(version, client.Writer.TlsProtocol);
        Assert.Empty(Told(served));
    }

    [Theory, MemberData(nameof(CarriersAndRefused)), Trait("Fault", "F22")]
    public async Task Handshake_InvalidClientCertificate_IsRefusedAndTheCauseIsLogged(Carrier carrier, SslProtocols version, string shown, TlsEngine engine)
    {
        using X509Certificate2? certificate = shown switch
        {
            "missing" => null,
            "expired" => Authority.IssueExpiredClient("alice"),
            "unknown" => new TestAuthority("Test Authority").IssueClient("alice"),
            "server's" => Authority.Issue("alice", purpose: TestAuthority.ForServers),
            _ => Authority.IssueClient("mallory"),
        };
        bool handled = false;
        Served served = await ServeTlsAsync(
            carrier,
            tls =>
            {
                tls.Engine = engine;
                tls.ClientCertificates = ClientCertificates.Require;
                tls.AllowedCommonNames.Add("alice");
            },
            (_, _, _) =>
            {
                handled = true;
                return Task.CompletedTask;
            },
            before: builder => builder.UseTelemetry());
        using MetricCollector<double> handshakes = CollectHandshakes(served);

        await AssertNotServedAsync(served, Client(certificate, protocols: version));

        (string reason, string explanation) = shown switch
        {
            "missing" => ("tls_certificate_missing", "the client sent no certificate"),
            "expired" => ("tls_certificate_expired", "the client's certificate is valid from "),
            "unknown" => ("tls_certificate_untrusted", "the client's certificate is not trusted ("),
            "server's" => ("tls_certificate_untrusted", "the client's certificate is not trusted (NotValidForUsage)"),
            _ => ("tls_name_not_allowed", "no name of the client's certificate is allowed (CN=mallory)"),
        };
        FakeLogRecord line = Assert.Single(await WaitForFailuresAsync(served, 1));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Contains($", reason {reason}): {explanation}", line.Message, StringComparison.Ordinal);
        Assert.Equal(reason, Assert.Single(handshakes.GetMeasurementSnapshot()).Tags["error.type"]);
        Assert.Equal(reason, (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
        Assert.False(handled);
    }

    [Theory, Trait("Fault", "F22")]
    [InlineData("none", true)]
    [InlineData("right", true)]
    [InlineData("expired", false)]
    public async Task Handshake_CertificatesAreAllowed_OnlyABadOneIsRefused(string shown, bool served)
    {
        using X509Certificate2? certificate = shown switch
        {
            "none" => null,
            "right" => Authority.IssueClient("alice"),
            _ => Authority.IssueExpiredClient("alice"),
        };
        Served server = await ServeTlsAsync(Carrier.Own, tls => tls.ClientCertificates = ClientCertificates.Allow);

        if (!served)
        {
            await AssertNotServedAsync(server, Client(certificate));
            return;
        }

        ByteStreamConnection client = await ConnectTlsAsync(server, Client(certificate));
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
    }

    [Theory, Trait("Fault", "F22")]
    // One match in one list is enough.
    [InlineData("alice", "", "", true)]
    [InlineData("Alice", "", "", false)]
    [InlineData("alice.example.com", "", "", false)]
    [InlineData("alic", "", "", false)]
    [InlineData("bob", "a.example.com", "", true)]
    [InlineData("bob", "other.example.com,A.EXAMPLE.COM", "", true)]
    [InlineData("bob", "b.a.example.com", "", false)]
    [InlineData("a.example.com", "", "", false)]
    [InlineData("bob", "alice", "", false)]
    [InlineData("bob", "", "spiffe://example.org/web", true)]
    [InlineData("bob", "", "spiffe://example.org/web/1", false)]
    [InlineData("bob", "", "spiffe://example.org/ns/prod/sa/x", true)]
    [InlineData("bob", "", "spiffe://example.org/ns/test/sa/x", false)]
    [InlineData("spiffe://example.org/web", "", "", false)]
    [InlineData("bob", "nobody.example.com", "spiffe://example.com/web", false)]
    public async Task Handshake_NamesAreLimited_ThoseServeThatMatchInTheirOwnList(string commonName, string dns, string uris, bool allowed)
    {
        using X509Certificate2 certificate = Authority.IssueClient(
            commonName, dns.Split(',', StringSplitOptions.RemoveEmptyEntries), uris.Split(',', StringSplitOptions.RemoveEmptyEntries));
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.AllowedCommonNames.Add("alice");
            tls.AllowedDnsNames.Add("a.example.com");
            tls.AllowedUris.Add("spiffe://example.org/web");
            tls.AllowedUris.Add("spiffe://example.org/ns/prod/*");
        });

        if (allowed)
        {
            ByteStreamConnection client = await ConnectTlsAsync(served, Client(certificate));
            Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        }
        else
        {
            await AssertNotServedAsync(served, Client(certificate));
            Assert.Equal("tls_name_not_allowed", (await WaitForFailuresAsync(served, 1))[0].GetStructuredStateValue("Reason"));
        }
    }

    [Theory, Trait("Fault", "F22")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Handshake_NamesAreMalformed_MatchNoCertificate(bool limited)
    {
        // A host name with a byte that is no ASCII, which OpenSSL lets through.
        using X509Certificate2 certificate = Authority.Issue(
            "alice", purpose: TestAuthority.ForClients, rawNames: [0x30, 4, 0x82, 2, 0xff, (byte)'x']);
        Served served = await ServeTlsAsync(
            Carrier.Own,
            tls =>
            {
                tls.ClientCertificates = ClientCertificates.Require;
                if (limited)
                {
                    tls.AllowedCommonNames.Add("alice");
                }
            },
            before: builder => builder.UseTelemetry());

        // Where any name will do, one that cannot be read does too, and the summary has none.
        if (limited)
        {
            await AssertNotServedAsync(served, Client(certificate));
        }
        else
        {
            ByteStreamConnection client = await ConnectTlsAsync(served, Client(certificate));
            Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
            await client.DisposeAsync();
            Assert.Equal("-", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("ClientName"));
        }

        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information);
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F17")]
    public async Task Summary_NamesHaveControlCharacters_StaysOneLine(Carrier carrier)
    {
        using X509Certificate2 certificate = Authority.IssueClient("eve\r\nConnection 1 ended: closed_by_peer\u001b[2J\u202e\\");
        Served served = await ServeTlsAsync(
            carrier, tls => tls.ClientCertificates = ClientCertificates.Require, before: builder => builder.UseTelemetry());
        SslClientAuthenticationOptions options = Client(certificate, "a\u202eb.example");
        options.RemoteCertificateValidationCallback = (_, shown, _, _) => shown is not null;
        ByteStreamConnection client = await ConnectTlsAsync(served, options);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        await client.DisposeAsync();

        FakeLogRecord line = Assert.Single(await served.WaitForSummariesAsync(1));
        Assert.DoesNotContain(line.Message, letter => char.IsControl(letter) || letter == '\u202e');
        Assert.Contains(
            @", server name a\u{202E}b.example, client eve\u{D}\u{A}Connection 1 ended: closed_by_peer\u{1B}[2J\u{202E}\\, ", line.Message, StringComparison.Ordinal);
        Assert.Equal("1.3", line.GetStructuredStateValue("TlsVersion"));
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F77")]
    public async Task Handshake_CertificateChainIsTooLarge_IsRefused(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier, tls => tls.ClientCertificates = ClientCertificates.Require);
        using X509Certificate2 fits = Authority.IssueClient("fits", dns: [.. Enumerable.Range(0, 500).Select(i => $"name-{i:D6}.example")]);
        using X509Certificate2 large = Authority.IssueClient("large", dns: [.. Enumerable.Range(0, 2000).Select(i => $"name-{i:D6}.example")]);

        // First: a session of the other client could be resumed, without a certificate.
        await AssertNotServedAsync(served, Client(large));
        ByteStreamConnection client = await ConnectTlsAsync(served, Client(fits));
        Assert.Equal("1\n", await AskAsync(client, "1\n"));

        FakeLogRecord line = Assert.Single(await WaitForFailuresAsync(served, 1));
        Assert.Contains("reason tls_handshake_failed): the peer sent more than 32768 bytes in the handshake (MaxHandshakeSize)", line.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Handshake_Fails_LogNamesTheServerNameAsItWasAskedFor(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier, tls => tls.ClientCertificates = ClientCertificates.Require);

        await AssertNotServedAsync(served, Client(host: "wanted.example"));
        Socket silent = await ConnectPlainAsync(served);
        silent.Shutdown(SocketShutdown.Send);

        IReadOnlyList<FakeLogRecord> lines = await WaitForFailuresAsync(served, 2);
        Assert.Contains(lines, line => line.GetStructuredStateValue("ServerName") == "wanted.example");
        Assert.Contains(lines, line => line.GetStructuredStateValue("ServerName") == "-");
    }

    [Theory, MemberData(nameof(CarriersAndVersions)), Trait("Fault", "F24")]
    public async Task Close_HandlerHasReturned_CloseNotifyIsTheLastRecord(Carrier carrier, SslProtocols version)
    {
        Served served = await ServeTlsAsync(carrier, handler: (_, writer, _) =>
        {
            writer.Write("bye\n"u8);
            return Task.CompletedTask;
        });
        Socket socket = await ConnectPlainAsync(served);
        var wire = new RecordingStream(new NetworkStream(socket, ownsSocket: true));
        SslStream client = await AuthenticateAsync(wire, Client(protocols: version));
        var received = new MemoryStream();
        await client.CopyToAsync(received, Soon);

        Assert.Equal("bye\n"u8.ToArray(), received.ToArray());
        // What SslStream has left unread is read here, up to the end of the connection.
        await wire.CopyToAsync(Stream.Null, Soon);
        List<(byte Type, int Length)> records = wire.Records();
        // TLS 1.2 shows that it is an alert; 1.3 hides the type behind the two bytes, in a record with a tag of 16 that looks like data.
        Assert.Equal(version == SslProtocols.Tls12 ? (21, 2 + 8 + 16) : (23, 2 + 1 + 16), records[^1]);
        Assert.Equal(version == SslProtocols.Tls12 ? (23, 4 + 8 + 16) : (23, 4 + 1 + 16), records[^2]);
    }

    [Theory, MemberData(nameof(CarriersAndVersions)), Trait("Fault", "F24")]
    public async Task Read_PeerClosesWithoutCloseNotify_IsATruncationAfterTheBytes(Carrier carrier, SslProtocols version)
    {
        var line = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var end = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(
            carrier,
            handler: async (reader, _, stopping) =>
            {
                line.SetResult(Text(await reader.ReadLineAsync(stopping)));
                end.SetResult(await Record.ExceptionAsync(async () => await reader.ReadAsync(cancellationToken: stopping)));
            },
            before: builder => builder.UseTelemetry());
        Socket socket = await ConnectPlainAsync(served);
        SslStream client = await AuthenticateAsync(new NetworkStream(socket), Client(protocols: version));
        await client.WriteAsync("hello\nhalf a li"u8.ToArray(), Soon);
        socket.Shutdown(SocketShutdown.Send);

        Assert.Equal("hello\n", await line.Task.WaitAsync(Soon));
        Assert.IsType<TlsTruncatedException>(await end.Task.WaitAsync(Soon));
        await ReadToEndAsync(socket);
        socket.Dispose();
        Assert.Equal("tls_truncated", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F24")]
    public async Task Read_CloseNotifyIsNotRequired_AnEndWithoutItIsTheEnd(Carrier carrier)
    {
        var all = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(carrier, tls => tls.RequireCloseNotify = false, async (reader, _, stopping) =>
            all.SetResult(Text(await reader.ReadAsync(cancellationToken: stopping))));
        Socket socket = await ConnectPlainAsync(served);
        SslStream client = await AuthenticateAsync(new NetworkStream(socket));
        await client.WriteAsync("hello"u8.ToArray(), Soon);
        socket.Shutdown(SocketShutdown.Send);

        Assert.Equal("hello", await all.Task.WaitAsync(Soon));
    }

    [Theory, MemberData(nameof(CarriersAndVersions)), Trait("Fault", "F24")]
    public async Task Read_PeerSendsCloseNotifyAndReadsOn_IsAnEndAndIsAnswered(Carrier carrier, SslProtocols version)
    {
        Served served = await ServeTlsAsync(carrier, handler: async (reader, writer, stopping) =>
        {
            byte[] all = await reader.ReadAsync(cancellationToken: stopping);
            writer.Write(all);
            writer.Write("!"u8);
        });
        Socket socket = await ConnectPlainAsync(served);
        SslStream client = await AuthenticateAsync(new NetworkStream(socket), Client(protocols: version));
        await client.WriteAsync("hello"u8.ToArray(), Soon);
        await client.ShutdownAsync();

        var received = new MemoryStream();
        await client.CopyToAsync(received, Soon);
        Assert.Equal("hello!"u8.ToArray(), received.ToArray());
    }

    [Theory, MemberData(nameof(CarriersAndEnds))]
    public async Task Dispose_ConnectionHasEnded_TheTlsStateIsFreed(Carrier carrier, string end)
    {
        var begun = new TaskCompletionSource<Func<bool>>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(carrier, handler: async (reader, writer, stopping) =>
        {
            begun.SetResult(Disposal(writer));
            await reader.ReadLineAsync(stopping);
            if (end == "aborted")
            {
                writer.Abort();
            }
            else if (end == "failed")
            {
                throw new InvalidDataException("no");
            }
        });
        Socket socket = await ConnectPlainAsync(served);
        SslStream client = await AuthenticateAsync(new NetworkStream(socket));
        Func<bool> isDisposed = await begun.Task.WaitAsync(Soon);
        Assert.False(isDisposed());

        if (end == "reset")
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        else
        {
            await client.WriteAsync("hello\n"u8.ToArray(), Soon);
            await Record.ExceptionAsync(() => client.CopyToAsync(Stream.Null, Soon));
        }

        socket.Dispose();

        await Patience.UntilAsync(isDisposed);
    }

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    [Trait("Contract", "S5")]
    public async Task AbortClients_OverTls_ResetsThemAndTheHandlersEnd(SslProtocols version)
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        TlsCertificateOptions written = Write("server", certificate);
        var begun = new TaskCompletionSource<Func<bool>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new ByteStreamServerOptions();
        options.UseTls(tls => tls.Certificates.Add(written));
        ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer, _) =>
            {
                begun.SetResult(Disposal(writer));
                ended.SetResult(await Record.ExceptionAsync(async () => await reader.ReadLineAsync(Soon)));
            },
            new IPEndPoint(IPAddress.Loopback, 0),
            options,
            Soon);
        Own(server);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            server.EndPoints[0], new() { Tls = Client(protocols: version) }, Soon);
        Func<bool> isDisposed = await begun.Task.WaitAsync(Soon);

        server.AbortClients();

        await Assert.ThrowsAsync<ConnectionResetException>(async () => await client.Reader.ReadLineAsync(Soon));
        Assert.IsType<ConnectionAbortedException>(await ended.Task.WaitAsync(Soon));
        await Patience.UntilAsync(isDisposed);
        server.Close();
        await server.WaitClosedAsync(Soon);
    }

    /// <summary>Returns whether the TLS state of a connection is freed. Call it before the connection has ended.</summary>
    private static Func<bool> Disposal(ByteStreamWriter writer)
    {
        var transport = (TlsTransport)writer.Transport!.Features.Get<IByteStreamTransportFeature>()!;
        return transport.Channel is OpenSslChannel channel ? () => channel.IsDisposed : () => IsDisposed(writer.SslStream!);
    }

    /// <summary>A write of nothing sends nothing.</summary>
    private static bool IsDisposed(SslStream stream)
    {
        try
        {
            return stream.WriteAsync(ReadOnlyMemory<byte>.Empty).AsTask().Exception?.InnerException is ObjectDisposedException;
        }
        catch (ObjectDisposedException)
        {
            return true;
        }
    }

    private static int InProgress(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Handshakes);

    private async Task SendAllAsync(Socket socket, byte[] bytes)
    {
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent), Soon);
        }
    }

    /// <summary>Keeps what it reads.</summary>
    private sealed class RecordingStream(NetworkStream inner) : Stream
    {
        private readonly MemoryStream _read = new();

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        /// <summary>The records in it: their types and the lengths of their bodies.</summary>
        public List<(byte Type, int Length)> Records()
        {
            byte[] read = _read.ToArray();
            var records = new List<(byte, int)>();
            for (int at = 0; at < read.Length;)
            {
                int length = (read[at + 3] << 8) | read[at + 4];
                records.Add((read[at], length));
                at += 5 + length;
            }

            return records;
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = await inner.ReadAsync(buffer, cancellationToken);
            _read.Write(buffer.Span[..count]);
            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => inner.WriteAsync(buffer, cancellationToken);

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush() => inner.Flush();

        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}

using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Relay;
using ByteStreams.Testing;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F60 to F63, in every combination of what clients and upstreams speak.</summary>
public sealed class RelayTests : ServedTest
{
    /// <summary>Of 64 KiB each: 100 MiB.</summary>
    private const int StreamBlocks = 1600;

    private readonly string _folder = Directory.CreateTempSubdirectory("relay-").FullName;
    private readonly AuthorityFiles _authority;
    private readonly FakeLogCollector _log = new();
    private int _sockets;

    public RelayTests()
    {
        _authority = Own(new AuthorityFiles());
        Own(new Folder(_folder));
    }

    public static TheoryData<string, string> Combinations => new(
        from client in Kinds
        from upstream in Kinds
        select (client, upstream));

    private static string[] Kinds => ["tcp", "tls", "unix"];

    [Theory, MemberData(nameof(Combinations))]
    [Trait("Fault", "F63")]
    public async Task Relay_ClientEndsFirst_UpstreamAnswersBehindIt_F63(string client, string upstream)
    {
        byte[] request = RandomNumberGenerator.GetBytes(3_000_000);
        byte[] reply = RandomNumberGenerator.GetBytes(3_000_000);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            Assert.Equal(request, await reader.ReadAsync(cancellationToken: stopping));
            writer.Write(reply);
            await writer.DrainAsync(stopping);
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        connection.Writer.Write(request);
        connection.Writer.WriteEof();

        Assert.Equal(reply, await connection.Reader.ReadAsync(cancellationToken: Soon));
        await AssertEndedAsync("closed_by_peer");
    }

    [Theory, MemberData(nameof(Combinations))]
    [Trait("Fault", "F63")]
    public async Task Relay_UpstreamEndsFirst_ClientSendsOn_F63(string client, string upstream)
    {
        byte[] request = RandomNumberGenerator.GetBytes(3_000_000);
        var received = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            writer.Write("hello\n");
            writer.WriteEof();
            received.SetResult(await reader.ReadAsync(cancellationToken: stopping));
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        Assert.Equal("hello\n", Text(await connection.Reader.ReadAsync(cancellationToken: Soon)));
        connection.Writer.Write(request);
        connection.Writer.WriteEof();

        Assert.Equal(request, await received.Task.WaitAsync(Soon));
    }

    [Fact]
    [Trait("Fault", "F63")]
    public async Task Relay_HundredMebibytes_ArriveAsTheyWere_F63()
    {
        const int blocks = 1600;
        byte[] block = RandomNumberGenerator.GetBytes(65536);
        string url = await ServeUpstreamAsync("unix", async (reader, writer, stopping) =>
        {
            while (await reader.ReadAsync(65536, stopping) is { Length: > 0 } bytes)
            {
                writer.Write(bytes);
                await writer.DrainAsync(stopping);
            }
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));
        Task sending = SendAsync();
        for (int i = 0; i < blocks; i++)
        {
            Assert.Equal(block, await connection.Reader.ReadExactlyAsync(block.Length, Soon));
        }

        Assert.Empty(await connection.Reader.ReadAsync(cancellationToken: Soon));
        await sending;

        async Task SendAsync()
        {
            for (int i = 0; i < blocks; i++)
            {
                connection.Writer.Write(block);
                await connection.Writer.DrainAsync(Soon);
            }

            connection.Writer.WriteEof();
        }
    }

    /// <summary>100 MiB up, the end of that direction, 100 MiB down; or the other way round.</summary>
    [Theory]
    [InlineData("tcp", "tcp", true)]
    [InlineData("tcp", "tcp", false)]
    [InlineData("tls", "unix", true)]
    [InlineData("tls", "unix", false)]
    [InlineData("unix", "tls", true)]
    [InlineData("unix", "tls", false)]
    [Trait("Fault", "F63")]
    public async Task Relay_HundredMebibytesEachWayAroundAHalfClose_ArriveAsTheyWere_F63(string client, string upstream, bool clientFirst)
    {
        TakeTime(TimeSpan.FromSeconds(120));
        var served = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, _) =>
        {
            if (clientFirst)
            {
                await ReceiveStreamAsync(reader, seed: 1);
                await SendStreamAsync(writer, seed: 2);
            }
            else
            {
                await SendStreamAsync(writer, seed: 2);
                await ReceiveStreamAsync(reader, seed: 1);
            }

            served.SetResult();
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        if (clientFirst)
        {
            await SendStreamAsync(connection.Writer, seed: 1);
            await ReceiveStreamAsync(connection.Reader, seed: 2);
        }
        else
        {
            await ReceiveStreamAsync(connection.Reader, seed: 2);
            await SendStreamAsync(connection.Writer, seed: 1);
        }

        await served.Task.WaitAsync(Soon);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_FirstUpstreamsRefuse_TheNextServes_F60()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        var options = new RelayOptions
        {
            LoadBalancing = LoadBalancing.RoundRobin,
            Upstreams = { $"tcp://127.0.0.1:{RefusingPort()}", $"unix:{_folder}/nobody.sock", url },
        };
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(_log)));
        ByteStreamRelay relay = Own(new ByteStreamRelay(options, loggers));
        EndPoint endPoint = await StartAsync("tcp", relay.ServeAsync, new ByteStreamServerOptions(), null);

        Assert.Equal("hello\n", await AskAsync(await ConnectAsync("tcp", endPoint), "hello\n"));
        Assert.Equal(2, _log.GetSnapshot().Count(record => record.Id.Id == 656));
        // Who could not be reached has no connection.
        Assert.Equal([0, 0, 1], relay.Upstreams.All.Select(upstream => upstream.Active));
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_NoUpstreamCanBeReached_ClientIsResetWithTheReason_F60()
    {
        int port = RefusingPort();
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.Upstreams.Add($"tcp://127.0.0.1:{port}");
            relay.Upstreams.Add("tcp://no-such-host.invalid:1");
            relay.Upstreams.Add($"unix:{_folder}/nobody.sock");
        });

        await AssertRefusedAsync(endPoint);

        await AssertEndedAsync("upstream_unavailable");
        FakeLogRecord line = Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 650);
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Contains($"tcp://127.0.0.1:{port}: ", line.Message, StringComparison.Ordinal);
        Assert.Contains("tcp://no-such-host.invalid:1: The host 'no-such-host.invalid' cannot be resolved", line.Message, StringComparison.Ordinal);
        Assert.Contains($"unix:{_folder}/nobody.sock: ", line.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_MoreUpstreamsThanRetries_TriesOnlySoMany_F60()
    {
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.Retries = 1;
            for (int i = 0; i < 4; i++)
            {
                relay.Upstreams.Add($"unix:{_folder}/nobody-{i}.sock");
            }
        });

        await AssertRefusedAsync(endPoint);

        await AssertEndedAsync("upstream_unavailable");
        Assert.Equal(2, _log.GetSnapshot().Count(record => record.Id.Id == 656));
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UpstreamTakesTooLong_TheNextServesAfterTheConnectTimeout_F60()
    {
        var time = new FakeTimeProvider();
        // It accepts, and never says a word of its handshake.
        string silent = await ServeUpstreamAsync("tcp", (reader, _, stopping) => reader.ReadAsync(cancellationToken: stopping).AsTask());
        string url = await ServeUpstreamAsync("tls", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.ConnectTimeout = TimeSpan.FromSeconds(5);
            relay.Upstreams.Add(silent.Replace("tcp:", "tls:", StringComparison.Ordinal));
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });

        Task<string> answer = AskAsync(await ConnectAsync("tcp", endPoint), "hello\n");
        await AdvanceUntilAsync(time, () => _log.GetSnapshot().Any(record => record.Id.Id == 656));
        Assert.Equal("hello\n", await answer);
        Assert.Contains("no connection within 5 s", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UnixUpstreamsBacklogIsFull_TheNextServesAfterTheConnectTimeout_F60()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere a full backlog refuses");
        var time = new FakeTimeProvider();
        string path = Path.Combine(_folder, "busy.sock");
        using var busy = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        busy.Bind(new UnixDomainSocketEndPoint(path));
        busy.Listen(0);
        using var filler = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        filler.Connect(new UnixDomainSocketEndPoint(path));
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.ConnectTimeout = TimeSpan.FromSeconds(5);
            relay.Upstreams.Add($"unix:{path}");
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });

        Task<string> answer = AskAsync(await ConnectAsync("tcp", endPoint), "hello\n");
        await AdvanceUntilAsync(time, () => _log.GetSnapshot().Any(record => record.Id.Id == 656));

        Assert.Equal("hello\n", await answer);
        Assert.Contains("no connection within 5 s", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UpstreamFailsAgainAndAgain_IsEjectedAndTakenBack_F60()
    {
        var time = new FakeTimeProvider();
        string path = Path.Combine(_folder, "late.sock");
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.EjectAfter = 2;
            relay.Upstreams.Add($"unix:{path}");
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal("x\n", await AskAsync(await ConnectAsync("tcp", endPoint), "x\n"));
        }

        Assert.Equal(2, _log.GetSnapshot().Count(record => record.Id.Id == 656));
        Assert.Contains("failed 2 times in a row, and gets no connections for 10 s", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 651).Message, StringComparison.Ordinal);

        await ServeUpstreamAsync("unix", Echo, path);
        time.Advance(TimeSpan.FromSeconds(10));
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal("x\n", await AskAsync(await ConnectAsync("tcp", endPoint), "x\n"));
        }

        Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 652);
    }

    /// <summary>Of the two clocks none goes on: what waits for the linger of the refused connection waits for ever.</summary>
    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_CertificateIsRefusedAndTheUpstreamStays_TheNextServesAtOnceAndNothingIsLeft_F60()
    {
        var time = new FakeTimeProvider();
        using var stranger = new AuthorityFiles();
        (string refused, Task<Socket> accepted) = RefusedUpstream(stranger);
        string url = await ServeUpstreamAsync("tcp", Echo);
        ByteStreamServer? server = null;
        EndPoint endPoint = await RelayAsync(
            "tcp",
            relay =>
            {
                relay.LoadBalancing = LoadBalancing.RoundRobin;
                relay.Upstreams.Add(refused);
                relay.Upstreams.Add(url);
                relay.Connection.TimeProvider = time;
            },
            started => server = started);

        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        Assert.Contains("certificate", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
        client.Writer.Close();
        await AssertEndedAsync("closed_by_peer");

        DrainReport report = await server!.StopAsync(Timeout.InfiniteTimeSpan, Soon);

        Assert.Equal((0, 0), (report.Aborted, report.LeftBehind));
        (await accepted.WaitAsync(Soon)).Dispose();
    }

    [Fact]
    public async Task OpenConnection_CertificateIsRefusedAndThePeerStays_FailsAtOnce()
    {
        using var stranger = new AuthorityFiles();
        (string refused, Task<Socket> accepted) = RefusedUpstream(stranger);
        var options = new ByteStreamClientOptions
        {
            TimeProvider = new FakeTimeProvider(),
            Tls = new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(),
        };

        await Assert.ThrowsAsync<AuthenticationException>(
            () => ByteStream.OpenConnectionAsync(new IPEndPoint(IPAddress.Loopback, new Uri(refused).Port), options, Soon));

        (await accepted.WaitAsync(Soon)).Dispose();
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Relay_NoDescriptorForTheUpstream_ClientsAreRefusedAndTheUpstreamStaysAvailable_F72()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.EjectAfter = 1;
            relay.Upstreams.Add(url);
            relay.Connection.Descriptors = new DescriptorLimit(0);
        });

        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => AssertRefusedAsync(endPoint)));

        await Patience.UntilAsync(() => _log.GetSnapshot().Count(record => record.Message.Contains("ended: refused_descriptors", StringComparison.Ordinal)) == 5);
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Id.Id is 650 or 651 or 656);
        Assert.InRange(_log.GetSnapshot().Count(record => record.Id.Id == 658), 1, 5);
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task HealthCheck_NoDescriptorForIt_ChangesNothing_F72()
    {
        var time = new FakeTimeProvider();
        var options = new RelayOptions
        {
            HealthCheckInterval = TimeSpan.FromSeconds(1),
            HealthCheckTimeout = TimeSpan.FromMinutes(1),
            UnhealthyAfter = 1,
            Connection = { TimeProvider = time, Descriptors = new DescriptorLimit(0) },
        };
        options.Upstreams.Add($"tcp://127.0.0.1:{RefusingPort()}");
        using var relay = new ByteStreamRelay(options, LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log))));
        using var other = new ByteStreamRelay(
            new RelayOptions
            {
                HealthCheckInterval = TimeSpan.FromSeconds(1),
                UnhealthyAfter = 20,
                Connection = { TimeProvider = time },
                Upstreams = { options.Upstreams[0] },
            },
            LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log))));

        // Twenty checks that fail at once: of those that wait a second for a descriptor several have ended by then.
        await AdvanceUntilAsync(time, () => !other.Upstreams.All[0].IsHealthy);

        Assert.True(relay.Upstreams.All[0].IsHealthy);
    }

    [Fact]
    public async Task HealthCheck_UpstreamComesAndGoes_IsFollowed()
    {
        var time = new FakeTimeProvider();
        string path = Path.Combine(_folder, "checked.sock");
        var options = new RelayOptions { HealthCheckInterval = TimeSpan.FromSeconds(1), UnhealthyAfter = 2, HealthyAfter = 2, Connection = { TimeProvider = time } };
        options.Upstreams.Add($"unix:{path}");
        using var relay = new ByteStreamRelay(options, LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log))));
        Upstream upstream = relay.Upstreams.All[0];
        Assert.True(upstream.IsHealthy);

        await AdvanceUntilAsync(time, () => !upstream.IsHealthy);
        int checks = 0;
        await ServeUpstreamAsync(
            "unix",
            async (reader, writer, stopping) =>
            {
                byte[] line = await reader.ReadLineAsync(stopping);
                writer.Write(line);
                if (line is [])
                {
                    // Who checks only connects.
                    Interlocked.Increment(ref checks);
                }
            },
            path);
        await AdvanceUntilAsync(time, () => _log.GetSnapshot().Any(record => record.Id.Id == 654));

        Assert.True(upstream.IsHealthy);
        Assert.Equal([653, 654], _log.GetSnapshot().Select(record => record.Id.Id).Where(id => id is 653 or 654));

        // A relay that has ended looks no more, but for the look it is at.
        await Patience.UntilAsync(() => Volatile.Read(ref checks) >= 2);
        relay.Dispose();
        for (int i = 0; i < 10; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await using ByteStreamConnection own = await ByteStream.OpenUnixConnectionAsync(path, cancellationToken: Soon);
            Assert.Equal("1\n", await AskAsync(own, "1\n"));
        }

        Assert.InRange(Volatile.Read(ref checks), 2, 5);
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [Trait("Fault", "F61")]
    public async Task Relay_UpstreamResets_ClientSeesAReset_F61(string upstream)
    {
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            writer.Abort();
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));
        connection.Writer.Write("go\n");

        await AssertResetAsync(connection);

        await AssertEndedAsync("upstream_reset");
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [Trait("Fault", "F61")]
    public async Task Relay_ClientResets_UpstreamSeesAReset_F61(string client)
    {
        var end = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            end.SetResult(await Record.ExceptionAsync(async () => await reader.ReadLineAsync(stopping)));
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));
        Assert.Equal("go\n", await AskAsync(connection, "go\n"));

        connection.Writer.Abort();

        Assert.IsType<ConnectionResetException>(await end.Task.WaitAsync(Soon));
        await AssertEndedAsync("reset_by_peer");
    }

    [Fact]
    [Trait("Fault", "F62")]
    public async Task Relay_UpstreamDoesNotRead_ClientIsPausedAndNothingIsKept_F62()
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var received = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) =>
        {
            await read.Task;
            long count = 0;
            while (await reader.ReadAsync(1 << 20, stopping) is { Length: > 0 } bytes)
            {
                count += bytes.Length;
            }

            received.SetResult(count);
        });
        EndPoint endPoint = await RelayAsync("tcp", relay => relay.Upstreams.Add(url));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
        try
        {
            client.Connect(endPoint);
        }
        catch (SocketException pending) when (pending.SocketErrorCode == SocketError.WouldBlock)
        {
            Assert.True(client.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectWrite));
        }

        // Until nobody takes any more for a while: what lies in the sockets on the way, and two marks of flow control.
        byte[] block = new byte[1 << 20];
        long sent = 0;
        while (client.Poll(TimeSpan.FromSeconds(1), SelectMode.SelectWrite) && sent < 1L << 30)
        {
            sent += client.Send(block, SocketFlags.None, out _);
        }

        Assert.InRange(sent, 1, 64 << 20);
        read.SetResult();
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(sent, await received.Task.WaitAsync(Soon));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [InlineData("unix")]
    [Trait("Fault", "F62")]
    public async Task Relay_ClientDoesNotRead_UpstreamIsPausedAndNothingIsLost_F62(string upstream)
    {
        const int most = 256 << 20;
        byte[] block = RandomNumberGenerator.GetBytes(65536);
        long sent = 0;
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (_, writer, stopping) =>
        {
            while (sent < most)
            {
                writer.Write(block);
                sent += block.Length;
                Task drained = writer.DrainAsync(stopping).AsTask();
                if (await Task.WhenAny(drained, Task.Delay(TimeSpan.FromSeconds(1), stopping)) != drained)
                {
                    break;
                }
            }

            stalled.SetResult();
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));

        await stalled.Task.WaitAsync(Soon);

        // What lies in the sockets on the way, and a mark of flow control or two.
        Assert.InRange(sent, 1, 64 << 20);
        for (long received = 0; received < sent; received += block.Length)
        {
            byte[] arrived = await connection.Reader.ReadExactlyAsync(block.Length, Soon);
            Assert.True(block.AsSpan().SequenceEqual(arrived), $"other bytes than were sent, from {received}");
        }

        Assert.Empty(await connection.Reader.ReadAsync(cancellationToken: Soon));
    }

    [Fact]
    public async Task Resolve_NameHasAnotherAddressLater_NewConnectionsGoThereAndOldOnesStay()
    {
        var time = new FakeTimeProvider();
        var options = new ByteStreamServerOptions();
        ByteStreamServer everywhere = await ByteStream.StartServerAsync(
            async (reader, writer, stopping) =>
            {
                while (await reader.ReadLineAsync(stopping) is { Length: > 0 })
                {
                    writer.Write($"{((IPEndPoint)writer.LocalEndPoint!).Address}\n");
                }
            },
            "0.0.0.0", 0, options, Soon);
        Own((IAsyncDisposable)everywhere);
        int port = ((IPEndPoint)everywhere.EndPoints[0]).Port;
        IPAddress[] addresses = [IPAddress.Loopback];
        int lookups = 0;
        var relayOptions = new RelayOptions { Upstreams = { $"tcp://app.test:{port}" }, Connection = { TimeProvider = time } };
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log)));
        ByteStreamRelay relay = Own(new ByteStreamRelay(relayOptions, loggers, null, string.Empty, (host, _, _) =>
        {
            Assert.Equal("app.test", host);
            IPAddress[] found = Volatile.Read(ref addresses);
            Interlocked.Increment(ref lookups);
            return found.Length > 0 ? Task.FromResult<IReadOnlyList<IPAddress>>(found) : throw new IOException("The resolver is away.");
        }));
        EndPoint endPoint = await StartAsync("tcp", relay.ServeAsync, new ByteStreamServerOptions(), null);
        ByteStreamConnection first = await ConnectAsync("tcp", endPoint);
        Assert.Equal("127.0.0.1\n", await AskAsync(first, "where\n"));
        Assert.Equal(1, lookups);

        Volatile.Write(ref addresses, [IPAddress.Parse("127.0.0.2")]);
        time.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal(1, lookups);
        time.Advance(TimeSpan.FromSeconds(1));
        // The lookup is on its way: until it has answered, connections go where they went.
        while (await AskAsync(await ConnectAsync("tcp", endPoint), "where\n") is string where && where != "127.0.0.2\n")
        {
            Assert.Equal("127.0.0.1\n", where);
        }

        Assert.Equal("127.0.0.1\n", await AskAsync(first, "where\n"));

        // A resolver that fails changes nothing, and is told.
        Volatile.Write(ref addresses, []);
        time.Advance(TimeSpan.FromSeconds(30));
        await Patience.UntilAsync(() => _log.GetSnapshot().Any(record => record.Id.Id == 655));
        Assert.Equal("127.0.0.2\n", await AskAsync(await ConnectAsync("tcp", endPoint), "where\n"));
    }

    [Theory]
    [InlineData(SendProxyHeader.V1, "PROXY UNKNOWN\r\n")]
    [InlineData(SendProxyHeader.V2, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")]
    [Trait("Fault", "P6")]
    public async Task HealthCheck_SendProxyHeader_SaysThatItIsTheRelaysOwn_P6(SendProxyHeader version, string header)
    {
        var time = new FakeTimeProvider();
        var received = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) => received.TrySetResult(await reader.ReadAsync(cancellationToken: stopping)));
        var options = new RelayOptions
        {
            Upstreams = { url },
            HealthCheckInterval = TimeSpan.FromSeconds(1),
            SendProxyHeader = version,
            Connection = { TimeProvider = time },
        };
        using var relay = new ByteStreamRelay(options);

        await AdvanceUntilAsync(time, () => received.Task.IsCompleted);

        Assert.Equal(header, Text(await received.Task));
    }

    /// <summary>client -> relay -> relay -> upstream: the second relay was told by the first one who the client is.</summary>
    [Theory]
    [InlineData(SendProxyHeader.V1)]
    [InlineData(SendProxyHeader.V2)]
    [Trait("Fault", "P6")]
    public async Task Relay_BehindAnotherRelay_ForwardsTheClientThatItWasTold_P6(SendProxyHeader version)
    {
        string url = await ServeUpstreamAsync(
            "tcp",
            (_, writer, _) =>
            {
                writer.Write($"{writer.RemoteEndPoint}\n");
                return Task.CompletedTask;
            },
            surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
        ByteStreamRelay second = Own(new ByteStreamRelay(new RelayOptions { Upstreams = { url }, SendProxyHeader = version }));
        string middle = await ServeUpstreamAsync("tcp", second.ServeAsync, surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay =>
        {
            relay.SendProxyHeader = version;
            relay.Upstreams.Add(middle);
        }));

        Assert.Equal($"{connection.Writer.LocalEndPoint}\n", Text(await connection.Reader.ReadLineAsync(Soon)));
    }

    [Fact]
    [Trait("Fault", "P6")]
    public async Task Relay_SendProxyHeader_UpstreamKnowsTheClient_P6()
    {
        foreach (SendProxyHeader version in (SendProxyHeader[])[SendProxyHeader.V1, SendProxyHeader.V2])
        {
            string url = await ServeUpstreamAsync(
                "tcp",
                (_, writer, _) =>
                {
                    writer.Write($"{writer.RemoteEndPoint}\n");
                    return Task.CompletedTask;
                },
                surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
            ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay =>
            {
                relay.SendProxyHeader = version;
                relay.Upstreams.Add(url);
            }));

            Assert.Equal($"{connection.Writer.LocalEndPoint}\n", Text(await connection.Reader.ReadLineAsync(Soon)));
        }
    }

    [Fact]
    public async Task Stop_ConnectionIsQuiet_EndsCleanlyAndABusyOneGoesOn()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection quiet = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(quiet, "1\n"));
        ByteStreamConnection busy = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(busy, "1\n"));

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> end = quiet.Reader.ReadAsync(cancellationToken: Soon).AsTask();
        int answers = 0;
        while (!end.IsCompleted)
        {
            Assert.Equal("2\n", await AskAsync(busy, "2\n"));
            answers++;
            time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.Empty(await end);
        Assert.True(answers > 0);
        Assert.Equal("3\n", await AskAsync(busy, "3\n"));
        busy.Writer.WriteEof();
        Assert.Empty(await busy.Reader.ReadAsync(cancellationToken: Soon));
        quiet.Writer.Close();
        busy.Writer.Close();
        await stopping.WaitAsync(Soon);
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Stop_AnswerHasNotBegun_IsWaitedForAndDelivered()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answers = new TaskCompletionSource();
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write("hello\n");
            byte[] request = await reader.ReadLineAsync(stopping);
            asked.SetResult();
            await answers.Task.WaitAsync(stopping);
            writer.Write(request);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("hello\n", Text(await client.Reader.ReadLineAsync(Soon)));
        client.Writer.Write("think\n");
        await asked.Task.WaitAsync(Soon);

        Task<DrainReport> stopping = server.StopAsync(Timeout.InfiniteTimeSpan, Soon);
        Task<byte[]> answer = client.Reader.ReadLineAsync(Soon).AsTask();
        for (int i = 0; i < 100; i++)
        {
            // Twenty seconds, of which DrainQuiet is one; the real time lets what is due be done.
            time.Advance(TimeSpan.FromMilliseconds(200));
            await Task.Delay(2, Soon);
        }

        Assert.False(answer.IsCompleted);
        answers.SetResult();
        Assert.Equal("think\n", Text(await answer));
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        client.Writer.Close();
        Assert.True((await stopping.WaitAsync(Soon)).IsClean);
    }

    [Fact]
    public async Task Stop_DrainWaitsForAnswerIsOff_EndsCleanlyAfterDrainQuiet()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var end = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            asked.SetResult();
            end.SetResult(await reader.ReadAsync(cancellationToken: stopping));
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time, relay => relay.DrainWaitsForAnswer = false);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        client.Writer.Write("a line of a log\n");
        await asked.Task.WaitAsync(Soon);

        Task<DrainReport> stopping = server.StopAsync(Timeout.InfiniteTimeSpan, Soon);
        await AdvanceUntilAsync(time, () => end.Task.IsCompleted);

        Assert.Empty(await end.Task);
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        client.Writer.Close();
        Assert.True((await stopping.WaitAsync(Soon)).IsClean);
    }

    [Fact]
    public async Task Stop_UpstreamKeepsItsDirectionOpen_IsLeftWithoutWaitingForTheDeadline()
    {
        var left = new TaskCompletionSource();
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            // It hears the client's end, and does not end by it.
            await reader.ReadAsync(cancellationToken: stopping);
            await left.Task.WaitAsync(stopping);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection connection = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> end = connection.Reader.ReadAsync(cancellationToken: Soon).AsTask();
        await AdvanceUntilAsync(time, () => end.IsCompleted);

        Assert.Empty(await end);
        connection.Writer.Close();
        // The upstream has its linger, and no more.
        await AdvanceUntilAsync(time, () => stopping.IsCompleted);
        await stopping;
        left.SetResult();
    }

    [Fact]
    [Trait("Fault", "F24"), Trait("Fault", "F61")]
    public async Task Relay_TlsClientIsCut_UpstreamSeesAResetAndTheReasonIsKnown()
    {
        var seen = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            seen.SetResult(await Record.ExceptionAsync(async () => await reader.ReadAsync(cancellationToken: stopping)));
        });
        EndPoint endPoint = await RelayAsync("tls", relay => relay.Upstreams.Add(url), tls: tls => tls.RequireCloseNotify = true);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(endPoint, Soon);
        await using var client = new SslStream(new NetworkStream(socket));
        await client.AuthenticateAsClientAsync(new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(), Soon);
        await client.WriteAsync("hello\n"u8.ToArray(), Soon);
        byte[] answer = new byte[6];
        await client.ReadExactlyAsync(answer, Soon);

        // The end of the socket, and none of TLS before it.
        socket.Shutdown(SocketShutdown.Send);

        Assert.Equal("hello\n"u8.ToArray(), answer);
        Assert.IsType<ConnectionResetException>(await seen.Task.WaitAsync(Soon));
        await AssertEndedAsync("tls_truncated");
    }

    [Theory]
    [InlineData(Carrier.Own)]
    [InlineData(Carrier.Stock)]
    [Trait("Fault", "F61")]
    public async Task Relay_ClientResetsBehindItsEnd_UpstreamThatSendsIsReset_F61(Carrier carrier)
    {
        var seen = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            // Nobody reads any more by then: only writing can tell.
            await reader.ReadAsync(cancellationToken: stopping);
            seen.SetResult(await Assert.ThrowsAnyAsync<Exception>(async () =>
            {
                while (true)
                {
                    writer.Write(new byte[4096]);
                    await writer.DrainAsync(stopping);
                }
            }));
        });
        var options = new RelayOptions();
        options.Upstreams.Add(url);
        ByteStreamRelay relay = Own(new ByteStreamRelay(options));
        Served served = await ServeAsync(carrier, _ => { }, relay.ServeAsync);
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(served.EndPoint, Soon);
        client.Shutdown(SocketShutdown.Send);
        await client.ReceiveAsync(new byte[1], Soon);

        client.LingerState = new LingerOption(true, 0);
        client.Dispose();

        Assert.IsAssignableFrom<IOException>(await seen.Task.WaitAsync(Soon));
    }

    [Theory]
    [InlineData("tcp", true)]
    [InlineData("tcp", false)]
    [InlineData("tls", true)]
    [InlineData("tls", false)]
    [InlineData("unix", true)]
    [InlineData("unix", false)]
    public async Task Stop_OneDirectionHasEndedAndTheOtherIsQuiet_EndsCleanly(string upstream, bool clientFirst)
    {
        var left = new TaskCompletionSource();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var end = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            writer.Write("1\n");
            if (!clientFirst)
            {
                writer.WriteEof();
                end.SetResult(await reader.ReadAsync(cancellationToken: stopping));
                return;
            }

            Assert.Empty(await reader.ReadAsync(cancellationToken: stopping));
            ended.SetResult();
            // It has nothing to say, and does not end.
            await left.Task.WaitAsync(stopping);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", Text(await client.Reader.ReadLineAsync(Soon)));
        if (clientFirst)
        {
            client.Writer.WriteEof();
            await ended.Task.WaitAsync(Soon);
        }
        else
        {
            Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        }

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> seen = clientFirst ? client.Reader.ReadAsync(cancellationToken: Soon).AsTask() : end.Task;
        await AdvanceUntilAsync(time, () => seen.IsCompleted);
        Assert.Empty(await seen);
        client.Writer.Close();
        // An upstream that does not end by itself has its linger.
        await AdvanceUntilAsync(time, () => stopping.IsCompleted);
        await stopping;
        left.SetResult();
        await AssertEndedAsync("drained");
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

    [Fact]
    public void Validate_EachMistake_IsToldWithItsKey()
    {
        var options = new RelayOptions { Retries = -1, ConnectTimeout = TimeSpan.Zero, ResolveInterval = TimeSpan.Zero, HealthyAfter = 0 };
        options.Upstreams.Add("tcp://*:80");
        options.Upstreams.Add("http://x:1");

        Assert.Equal(
            [
                "Relay:Upstreams:0: 'tcp://*:80' can be listened on, and not connected to. Write a host and a port other than 0.",
                "Relay:Upstreams:1: 'http://x:1' has no known scheme. Write tcp://host:port, tls://host:port, unix:/path or unix:@name.",
                "Relay:ConnectTimeout is greater than zero.",
                "Relay:ResolveInterval is at least 1 s.",
                "Relay:Retries and EjectAfter are zero or more.",
                "Relay:UnhealthyAfter and HealthyAfter are at least 1.",
            ],
            options.Mistakes());
        Assert.StartsWith("Relay:Upstreams is empty", Assert.Single(new RelayOptions().Mistakes()), StringComparison.Ordinal);
    }

    /// <summary>An upstream whose certificate is of another authority, and which keeps its side open when that is refused.</summary>
    private (string Url, Task<Socket> Accepted) RefusedUpstream(AuthorityFiles authority)
    {
        Socket listening = Own(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen();
        return ($"tls://localhost:{((IPEndPoint)listening.LocalEndPoint!).Port}", AcceptAsync());

        async Task<Socket> AcceptAsync()
        {
            TlsCertificateOptions files = authority.Write("localhost");
            using X509Certificate2 read = X509Certificate2.CreateFromPemFile(files.Path!, files.KeyPath);
            Socket accepted = await listening.AcceptAsync(Soon);
            var tls = new SslStream(new NetworkStream(accepted, ownsSocket: false), leaveInnerStreamOpen: true);
            _ = await Record.ExceptionAsync(() => tls.AuthenticateAsServerAsync(read));
            return accepted;
        }
    }

    private async Task SendStreamAsync(ByteStreamWriter writer, int seed)
    {
        byte[] block = Block(seed);
        for (int i = 0; i < StreamBlocks; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(block, i);
            writer.Write(block);
            await writer.DrainAsync(Soon);
        }

        writer.WriteEof();
    }

    private async Task ReceiveStreamAsync(ByteStreamReader reader, int seed)
    {
        byte[] block = Block(seed);
        byte[] received = new byte[block.Length];
        for (int i = 0; i < StreamBlocks; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(block, i);
            await reader.ReadExactlyAsync(received, Soon);
            Assert.True(block.AsSpan().SequenceEqual(received), $"block {i} is another one");
        }

        Assert.Empty(await reader.ReadAsync(cancellationToken: Soon));
    }

    private static byte[] Block(int seed)
    {
        byte[] block = new byte[65536];
        new Random(seed).NextBytes(block);
        return block;
    }

    private async Task<string> ServeUpstreamAsync(
        string kind, ByteStreamDelegate handler, string? path = null, Action<ByteStreamServerOptions>? surround = null)
    {
        var options = new ByteStreamServerOptions();
        surround?.Invoke(options);
        EndPoint endPoint = await StartAsync(kind, handler, options, path);
        return kind == "unix" ? $"unix:{endPoint}" : $"{kind}://{(kind == "tls" ? "localhost" : "127.0.0.1")}:{((IPEndPoint)endPoint).Port}";
    }

    private Task<EndPoint> RelayAsync(string kind, Action<RelayOptions> configure, Action<ByteStreamServer>? started = null, Action<TlsServerOptions>? tls = null)
    {
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(_log)));
        var relayOptions = new RelayOptions { Tls = { CaPath = _authority.CaPath } };
        configure(relayOptions);
        ByteStreamRelay relay = Own(new ByteStreamRelay(relayOptions, loggers));
        var options = new ByteStreamServerOptions { Name = "relay", LoggerFactory = loggers };
        options.UseTelemetry();
        return StartAsync(kind, relay.ServeAsync, options, null, started, tls);
    }

    /// <summary>A relay that leaves a connection after a second in which nothing moved.</summary>
    private async Task<(EndPoint EndPoint, ByteStreamServer Server)> StoppableRelayAsync(string url, TimeProvider time, Action<RelayOptions>? configure = null)
    {
        ByteStreamServer? server = null;
        EndPoint endPoint = await RelayAsync(
            "tcp",
            relay =>
            {
                relay.DrainQuiet = TimeSpan.FromSeconds(1);
                relay.Upstreams.Add(url);
                relay.Connection.TimeProvider = time;
                configure?.Invoke(relay);
            },
            started => server = started);
        return (endPoint, server!);
    }

    private async Task<EndPoint> StartAsync(
        string kind, ByteStreamDelegate handler, ByteStreamServerOptions options, string? path, Action<ByteStreamServer>? started = null,
        Action<TlsServerOptions>? configureTls = null)
    {
        if (kind == "tls")
        {
            options.UseTls(tls =>
            {
                tls.Certificates.Add(_authority.Write("localhost"));
                configureTls?.Invoke(tls);
            });
        }

        EndPoint place = kind == "unix"
            ? new UnixDomainSocketEndPoint(path ?? Path.Combine(_folder, $"{Interlocked.Increment(ref _sockets)}.sock"))
            : new IPEndPoint(IPAddress.Loopback, 0);
        ByteStreamServer server = await ByteStream.StartServerAsync(handler, place, options, Soon);
        Own((IAsyncDisposable)server);
        started?.Invoke(server);
        return server.EndPoints[0];
    }

    private async Task<ByteStreamConnection> ConnectAsync(string kind, EndPoint endPoint)
    {
        var options = new ByteStreamClientOptions();
        if (kind == "tls")
        {
            options.Tls = new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions();
        }

        ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(endPoint, options, Soon);
        Own((IAsyncDisposable)connection);
        return connection;
    }

    private async Task AssertResetAsync(ByteStreamConnection connection) =>
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await connection.Reader.ReadExactlyAsync(1, Soon));

    private async Task AssertEndedAsync(string reason)
    {
        await Patience.UntilAsync(() => _log.GetSnapshot().Any(record => record.Id.Id == 700));
        Assert.Contains($"ended: {reason}.", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 700).Message, StringComparison.Ordinal);
    }

    private async Task AdvanceUntilAsync(FakeTimeProvider time, Func<bool> condition)
    {
        while (!condition())
        {
            time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Delay(2, Soon);
        }
    }

    private sealed class Folder(string path) : IDisposable
    {
        public void Dispose() => Directory.Delete(path, recursive: true);
    }
}

using System.Net;
using System.Net.Sockets;
using System.Threading.RateLimiting;
using ByteStreams.Admission;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Admission;

/// <summary>Who is let in, who waits, and who is refused (F47).</summary>
public sealed class AdmissionTests : ServedTest
{
    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneTooMany_IsRefusedAndAPlaceComesBack(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().UseAdmission(admission => admission.MaxConnections = 2), Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        ByteStreamConnection second = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        Assert.Equal("2\n", await AskAsync(second, "2\n"));

        await AssertRefusedAsync(served.EndPoint);

        Assert.Contains("refused_endpoint", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        await first.DisposeAsync();
        await served.WaitForSummariesAsync(2);
        Assert.Equal("3\n", await AskAsync(await ConnectAsync(served), "3\n"));
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneTooManyWithABanner_IsToldAndThenEnded(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseAdmission(admission => (admission.MaxConnections, admission.Banner) = (1, "421 too many connections\r\n")),
            Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));

        ByteStreamConnection second = await ConnectAsync(served);

        Assert.Equal("421 too many connections\r\n", Text(await second.Reader.ReadAsync(cancellationToken: Soon)));
        Assert.Contains("refused_endpoint", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneTooManyAndQueued_IsServedOnceAPlaceIsFree(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier, builder => builder.UseTelemetry().UseAdmission(admission => (admission.MaxConnections, admission.WhenFull) = (1, WhenFull.Queue)), Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        ByteStreamConnection second = await ConnectAsync(served);

        Task<string> answer = AskAsync(second, "2\n");
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Active), now => now == 2);
        Assert.False(answer.IsCompleted);
        await first.DisposeAsync();

        Assert.Equal("2\n", await answer);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_QueuedForTooLong_IsRefused(Carrier carrier)
    {
        var time = new FakeTimeProvider();
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseAdmission(admission =>
                (admission.MaxConnections, admission.WhenFull, admission.QueueTimeout) = (1, WhenFull.Queue, TimeSpan.FromSeconds(3))),
            Echo,
            time);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        ByteStreamConnection second = await ConnectAsync(served);
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Active), now => now == 2);

        // The wait begins somewhere behind the count; each step is less than what is left of it only once it has begun.
        while (served.Summaries.Count == 0)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(10, Soon);
        }

        Assert.Contains("refused_queue_timeout", served.Summaries[0].Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await second.Reader.ReadExactlyAsync(1, Soon));
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
    }

    [Fact]
    public async Task Connect_QueueFull_IsRefusedAtOnce()
    {
        Served served = await ServeAsync(
            Carrier.Own,
            builder => builder.UseTelemetry().UseAdmission(admission =>
                (admission.MaxConnections, admission.WhenFull, admission.QueueLength) = (1, WhenFull.Queue, 1)),
            Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));

        // Whichever of two comes first has the queue's only place.
        Task<string?>[] two = [TryAskAsync(), TryAskAsync()];
        Assert.Null(await await Task.WhenAny(two));
        Assert.Contains("refused_endpoint", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);

        await first.DisposeAsync();
        Assert.Equal(["2\n"], (await Task.WhenAll(two)).OfType<string>());

        async Task<string?> TryAskAsync()
        {
            try
            {
                return await AskAsync(await ConnectAsync(served), "2\n");
            }
            catch (Exception reset) when (reset is ConnectionResetException or SocketException { SocketErrorCode: SocketError.ConnectionReset })
            {
                return null;
            }
        }
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneClientTooOften_OnlyThatClientSuffers(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")).UseAdmission(admission => admission.MaxConnectionsPerClient = 1),
            Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n1\n"));

        ByteStreamConnection same = await ConnectAsync(served);
        ByteStreamConnection other = await ConnectAsync(served);
        Assert.Equal("2\n", await AskAsync(other, "PROXY TCP4 192.0.2.2 192.0.2.9 1000 80\r\n2\n"));
        await Assert.ThrowsAsync<ConnectionResetException>(() => AskAsync(same, "PROXY TCP4 192.0.2.1 192.0.2.9 1001 80\r\n3\n"));

        Assert.Contains("refused_client.", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F47")]
    public async Task Connect_AllEndpointsTogetherFull_IsRefused()
    {
        var total = new ConnectionTotal(1);
        Served served = await ServeAsync(
            Carrier.Own, builder => builder.UseTelemetry().UseAdmission(_ => { }), Echo, configure: services => services.AddSingleton(total));
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));

        await AssertRefusedAsync(served.EndPoint);

        Assert.Contains("refused_total", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_FasterThanTheRate_IsRefused(Carrier carrier)
    {
        // A token comes back in a second: more than this test takes between its connections, and less than it may take.
        Served served = await ServeAsync(
            carrier, builder => builder.UseTelemetry().UseAdmission(admission => (admission.ConnectionsPerSecond, admission.Burst) = (1, 3)), Echo);

        int refused = 0;
        for (int i = 0; i < 10; i++)
        {
            refused += await Record.ExceptionAsync(async () => await AskAsync(await ConnectAsync(served), "x\n")) is null ? 0 : 1;
        }

        Assert.InRange(refused, 1, 7);
        await served.WaitForSummariesAsync(refused);
        Assert.Equal(refused, served.Summaries.Count(line => line.Message.Contains("refused_rate", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Connect_LimiterOfOnesOwn_IsAskedAndItsLeaseDisposed()
    {
        using PartitionedRateLimiter<ConnectionContext> limiter = PartitionedRateLimiter.Create<ConnectionContext, string>(
            _ => RateLimitPartition.GetConcurrencyLimiter("all", _ => new ConcurrencyLimiterOptions { PermitLimit = 1 }));
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry().UseAdmission(admission => admission.RateLimiter = limiter), Echo);
        ByteStreamConnection first = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        await AssertRefusedAsync(served.EndPoint);
        await first.DisposeAsync();
        await served.WaitForSummariesAsync(2);

        Assert.Equal("2\n", await AskAsync(await ConnectAsync(served), "2\n"));
    }

    [Theory]
    [InlineData("192.0.2.1", "192.0.2.1", 32, true)]
    [InlineData("192.0.2.1", "192.0.2.2", 32, false)]
    [InlineData("192.0.2.1", "192.0.2.254", 24, true)]
    [InlineData("192.0.2.1", "::ffff:192.0.2.1", 32, true)]
    [InlineData("2001:db8::1", "2001:db8::2", 64, true)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:2::1", 64, false)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:2::1", 0, true)]
    [InlineData("0.0.0.1", "::1", 128, false)]
    public void Of_TwoAddresses_AreOneClientInOneNetwork(string left, string right, int prefix, bool same)
    {
        int v4 = Math.Min(prefix, 32);
        ClientNetwork? Of(string address) => ClientNetwork.Of(new IPEndPoint(IPAddress.Parse(address), 1), v4, prefix);

        Assert.Equal(same, Of(left) == Of(right));
    }

    [Fact]
    public void GetHashCode_AddressesOfOneNetworkChosenToCollide_AreSpread()
    {
        // Each half of the interface identifier cancels the other in UInt128's own hash code, which folds 64 bits into 32.
        ClientNetwork[] clients = [.. Enumerable.Range(0, 20_000).Select(i => new ClientNetwork(new UInt128(0x2001_0db8_0000_0000, ((ulong)i << 32) | (uint)i), IsIPv4: false))];
        Assert.Single(clients.Select(client => client.Bits.GetHashCode()).Distinct());

        int[] buckets = new int[20_011];
        foreach (ClientNetwork client in clients)
        {
            buckets[(uint)client.GetHashCode() % (uint)buckets.Length]++;
        }

        // Twenty thousand keys over as many buckets: more than 16 in one has a probability below one in a million million.
        Assert.InRange(buckets.Max(), 1, 16);
    }

    [Fact]
    [Trait("Fault", "F47")]
    public void TryAcquire_AMillionClients_RemembersNoMoreThanItMay()
    {
        var rates = new ClientRates(1, 1, most: 1000);
        for (uint i = 0; i < 20_000; i++)
        {
            Assert.True(rates.TryAcquire(new ClientNetwork(i, true)));
        }

        Assert.InRange(rates.Count, 500, 1000);
    }

    [Fact]
    public void TryAcquire_AClientThatComesAgainAndAgain_IsNotForgottenForOthers()
    {
        var rates = new ClientRates(1, 1, most: 10);
        var often = new ClientNetwork(0, true);
        Assert.True(rates.TryAcquire(often));
        for (uint i = 1; i < 100; i++)
        {
            rates.TryAcquire(new ClientNetwork(i, true));
            Assert.False(rates.TryAcquire(often));
        }
    }

    [Fact]
    [Trait("Fault", "F47")]
    public void Leave_EveryClient_NobodyIsRemembered()
    {
        var counts = new ClientCounts(2);
        var clients = Enumerable.Range(0, 1000).Select(i => new ClientNetwork((UInt128)i, true)).ToArray();
        foreach (ClientNetwork client in clients)
        {
            Assert.True(counts.TryEnter(client));
            Assert.True(counts.TryEnter(client));
            Assert.False(counts.TryEnter(client));
        }

        foreach (ClientNetwork client in clients)
        {
            counts.Leave(client);
            counts.Leave(client);
        }

        Assert.Equal(0, counts.Count);
    }

    [Theory]
    [InlineData(256, 196, false, 12)]
    [InlineData(256, 196, true, 6)]
    [InlineData(1024, 196, false, 700)]
    [InlineData(1024, 196, true, 350)]
    [InlineData(20_000, 196, false, 19_596)]
    [InlineData(20_000, 196, true, 9_798)]
    [InlineData(20_000, 700, true, 9_546)]
    [InlineData(64, 60, false, 1)]
    [Trait("Fault", "F73")]
    public void Derive_FromTheDescriptorLimit_LeavesRoom(long descriptors, long atRest, bool relays, int most) =>
        Assert.Equal(most, new ConnectionCapacity(new DescriptorLimit(descriptors), atRest, long.MaxValue).Derive(relays));

    [Theory]
    [InlineData(20_000, 48, false, 6_144)]
    [InlineData(20_000, 48, true, 3_072)]
    [InlineData(1024, 48, true, 350)]
    [InlineData(long.MaxValue, 1024, false, 131_072)]
    [Trait("Fault", "F73")]
    public void Derive_LittleMemory_IsWhatItIsEnoughFor(long descriptors, long mebibytes, bool relays, int most) =>
        Assert.Equal(most, new ConnectionCapacity(new DescriptorLimit(descriptors), 196, mebibytes << 20).Derive(relays));

    [Theory]
    [InlineData("MaxConnections")]
    [InlineData("MaxConnectionsPerClient")]
    [InlineData("ConnectionsPerSecond")]
    [InlineData("QueueLength")]
    public void Validate_Zero_NamesTheKey(string key)
    {
        var options = new AdmissionOptions();
        typeof(AdmissionOptions).GetProperty(key)!.SetValue(options, 0);

        Assert.Equal($"Admission:{key}: '0' is not valid. It takes a whole number, at least 1.", Assert.Throws<ArgumentException>(options.Validate).Message);
    }
}

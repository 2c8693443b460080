using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Addresses;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Middleware.Tests.Admission;

/// <summary>Who may connect at all.</summary>
public sealed class AccessListTests : ServedTest
{
    [Theory]
    [InlineData("10.0.0.0/8", "10.1.2.3", true)]
    [InlineData("10.0.0.0/8", "::ffff:10.1.2.3", true)]
    [InlineData("10.0.0.0/8", "11.0.0.0", false)]
    [InlineData("2001:db8::/32", "2001:db8:ffff::1", true)]
    [InlineData("2001:db8::/32", "10.1.2.3", false)]
    [InlineData("192.0.2.7", "192.0.2.7", true)]
    [InlineData("192.0.2.7", "192.0.2.8", false)]
    [InlineData("10.1.2.3/8", "10.9.9.9", true)]
    [InlineData("unix", "192.0.2.8", false)]
    [InlineData("::ffff:127.0.0.1", "127.0.0.1", true)]
    [InlineData("::ffff:127.0.0.1", "::ffff:127.0.0.1", true)]
    [InlineData("::ffff:127.0.0.1", "127.0.0.2", false)]
    [InlineData("::ffff:127.0.0.1/128", "127.0.0.1", true)]
    [InlineData("::FFFF:7f00:1", "127.0.0.1", true)]
    [InlineData("::ffff:10.0.0.0/104", "10.255.255.255", true)]
    [InlineData("::ffff:10.0.0.0/104", "11.0.0.0", false)]
    [InlineData("::ffff:0:0/96", "203.0.113.9", true)]
    [InlineData("::ffff:0:0/96", "2001:db8::1", false)]
    [InlineData("2001:db8::/32", "0.0.0.0", false)]
    [InlineData("2001:db8::/32", "::ffff:0.0.0.0", false)]
    [InlineData("::/0", "2001:db8::1", true)]
    [InlineData("::/0", "192.0.2.1", false)]
    public void Contains_AnAddress_AnswersByItsNetwork(string network, string address, bool contained) =>
        Assert.Equal(contained, NetworkList.Parse([network]).Contains(new IPEndPoint(IPAddress.Parse(address), 5)));

    [Fact]
    public void Contains_AUnixClient_IsUnix()
    {
        NetworkList list = NetworkList.Parse(["unix"]);

        Assert.True(list.Contains(null));
        Assert.True(list.Contains(new UnixDomainSocketEndPoint("/tmp/x")));
    }

    [Theory]
    [InlineData("10.0.0.0/33", "Access:Allow: '10.0.0.0/33' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.")]
    [InlineData("localhost", "Access:Allow: 'localhost' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.")]
    [InlineData("010.0.0.1", "Access:Allow: '010.0.0.1' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.")]
    [InlineData("010.0.0.0/8", "Access:Allow: '010.0.0.0/8' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.")]
    [InlineData("10.1", "Access:Allow: '10.1' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.")]
    [InlineData("::ffff:10.0.0.0/8", "Access:Allow: '::ffff:10.0.0.0/8' contains the IPv4-mapped addresses and more. Write 0.0.0.0/0 for IPv4, ::/0 for IPv6, or a prefix length of at least 96.")]
    [InlineData("::/80", "Access:Allow: '::/80' contains the IPv4-mapped addresses and more. Write 0.0.0.0/0 for IPv4, ::/0 for IPv6, or a prefix length of at least 96.")]
    [InlineData("::ffff:0:0/95", "Access:Allow: '::ffff:0:0/95' contains the IPv4-mapped addresses and more. Write 0.0.0.0/0 for IPv4, ::/0 for IPv6, or a prefix length of at least 96.")]
    public void Mistakes_NoNetwork_SaysWhatToWrite(string text, string message) =>
        Assert.Equal([message], NetworkList.GetErrors([text], "Access:Allow"));

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_Denied_IsRefusedAlsoWhereAllowed(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseAccessList(access =>
            {
                access.Allow.Add("127.0.0.0/8");
                access.Deny.Add("127.0.0.1");
            }),
            Echo);

        await AssertRefusedAsync(served.EndPoint);

        Assert.Contains("refused_address", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    [Trait("Fault", "F33")]
    public async Task Connect_DeniedInIPv4MappedForm_IsRefused(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().UseAccessList(access => access.Deny.Add("::ffff:127.0.0.0/104")), Echo);

        await AssertRefusedAsync(served.EndPoint);
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_ProxyTrustedInIPv4MappedForm_IsServedAndItsClientHasAnIPv4Address(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("::ffff:127.0.0.1")),
            (_, writer, _) =>
            {
                writer.Write($"{writer.RemoteEndPoint}\n");
                return Task.CompletedTask;
            });

        Assert.Equal("192.0.2.1:1000\n", await AskAsync(await ConnectAsync(served), "PROXY TCP6 ::ffff:192.0.2.1 ::1 1000 80\r\n"));
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_NotOnTheList_IsRefused(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().UseAccessList(access => access.Allow.Add("10.0.0.0/8")), Echo);

        await AssertRefusedAsync(served.EndPoint);
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_BehindAProxy_ItIsTheClientThatCounts(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder => builder
                .UseTelemetry()
                .UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"))
                .UseAccessList(access => access.Allow.Add("192.0.2.0/24")),
            Echo);

        ByteStreamConnection wanted = await ConnectAsync(served);
        ByteStreamConnection unwanted = await ConnectAsync(served);

        Assert.Equal("1\n", await AskAsync(wanted, "PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n1\n"));
        await Assert.ThrowsAsync<ConnectionResetException>(() => AskAsync(unwanted, "PROXY TCP4 198.51.100.1 192.0.2.9 1000 80\r\n1\n"));
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_UnixUserOrGroupThatIsAllowed_IsServed(Carrier carrier)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/proc tells the process's own group");
        string group = File.ReadLines("/proc/self/status").First(line => line.StartsWith("Gid:", StringComparison.Ordinal)).Split('\t')[2];
        foreach (Action<AccessListOptions> allow in (Action<AccessListOptions>[])[access => access.AllowedUsers.Add(Environment.UserName), access => access.AllowedGroups.Add(group)])
        {
            Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().UseAccessList(allow), Echo, endPoint: new UnixDomainSocketEndPoint(Socket()));

            Assert.Equal("1\n", await AskAsync(await ConnectAsync(served), "1\n"));
        }
    }

    [Theory]
    [MemberData(nameof(Carriers))]
    public async Task Connect_UnixUserOrGroupThatIsNot_IsRefused(Carrier carrier)
    {
        foreach (Action<AccessListOptions> allow in (Action<AccessListOptions>[])[access => access.AllowedUsers.Add("65533"), access => access.AllowedGroups.Add("65533")])
        {
            Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().UseAccessList(allow), Echo, endPoint: new UnixDomainSocketEndPoint(Socket()));

            await AssertRefusedAsync(served.EndPoint);

            Assert.Contains("refused_user", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Connect_UnixUserThatIsNotNamesAClientByProxy_IsRefused()
    {
        Served served = await ServeAsync(
            Carrier.Own,
            builder => builder
                .UseTelemetry()
                .UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("unix"))
                .UseAccessList(access => access.AllowedUsers.Add("65533")),
            Echo,
            endPoint: new UnixDomainSocketEndPoint(Socket()));
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write("PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n1\n");

        Assert.Contains("refused_user", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Validate_NoSuchUser_SaysSo()
    {
        var access = new AccessListOptions();
        access.AllowedUsers.Add("nobody-of-this-name");

        Assert.StartsWith("Access:AllowedUsers: There is no user 'nobody-of-this-name'", Assert.Throws<ArgumentException>(access.Validate).Message, StringComparison.Ordinal);
    }

    private static string Socket() => Path.Combine(Path.GetTempPath(), $"access-{Guid.NewGuid():N}.sock");
}

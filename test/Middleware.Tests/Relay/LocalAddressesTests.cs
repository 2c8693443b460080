using System.Net;
using ByteStreams.Relay;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>Which addresses are this machine's; packaging/deb-test.sh tests it where netlink is forbidden.</summary>
public sealed class LocalAddressesTests
{
    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.0.0.2", true)]
    [InlineData("0.0.0.0", true)]
    [InlineData("192.0.2.77", false)]
    [InlineData("2001:db8::77", false)]
    public void Contains_Address_IsWhetherASocketCanHaveIt(string text, bool expected)
    {
        var address = IPAddress.Parse(text);

        Assert.Equal((expected, expected), (LocalAddresses.Contains(address), LocalAddresses.CanBind(address)));
    }
}

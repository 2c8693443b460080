using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Middleware.Tests.Configuration;

public class EndpointUrlTests
{
    [Theory]
    [InlineData("tcp://127.0.0.1:7007", "127.0.0.1", 7007)]
    [InlineData("TCP://localhost:0", "localhost", 0)]
    [InlineData("tcp://[::1]:80", "::1", 80)]
    [InlineData("tcp://*:65535", "", 65535)]
    [InlineData("tcp://:9", "", 9)]
    [InlineData("tcp://host:9/", "host", 9)]
    public void Parse_Tcp_GivesHostAndPort(string text, string host, int port)
    {
        EndpointUrl? url = EndpointUrl.Parse(text, out string? error);

        Assert.Null(error);
        Assert.Equal((host, port), (url!.Host, url.Port));
    }

    [Theory]
    [InlineData("unix:/run/x.sock", "/run/x.sock")]
    [InlineData("unix:///run/x.sock", "/run/x.sock")]
    [InlineData("unix:////run//x.sock", "/run//x.sock")]
    public void Parse_UnixPath_GivesEndPoint(string text, string path)
    {
        EndpointUrl? url = EndpointUrl.Parse(text, out string? error);

        Assert.Null(error);
        Assert.Equal(new UnixDomainSocketEndPoint(path), url!.EndPoint);
    }

    [Fact]
    public void Parse_UnixAbstractName_IsWrittenWithAt()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only Linux has the abstract namespace");

        EndpointUrl? url = EndpointUrl.Parse("unix:@svc", out _);

        Assert.Equal(new UnixDomainSocketEndPoint("\0svc"), url!.EndPoint);
    }

    [Fact]
    public void Parse_Temp_StandsForTheTemporaryFolder()
    {
        EndpointUrl? url = EndpointUrl.Parse("unix:{temp}/x.sock", out _);

        Assert.Equal(Path.Combine(Path.GetTempPath(), "x.sock"), url!.EndPoint!.ToString());
    }

    [Fact]
    public void Parse_Descriptor_GivesItsName()
    {
        EndpointUrl? url = EndpointUrl.Parse("fd:streamshost.socket", out string? error);

        Assert.Null(error);
        Assert.Equal("streamshost.socket", url!.Descriptor);
        Assert.Null(url.EndPoint);
        Assert.Null(url.Host);
    }

    [Theory]
    [InlineData("fd:", "no name of a socket")]
    [InlineData("fd:a:b", "no name of a socket")]
    [InlineData("fd:a b", "no name of a socket")]
    [InlineData(null, "is missing")]
    [InlineData("", "is missing")]
    [InlineData("127.0.0.1:7007", "no known scheme")]
    [InlineData("http://x:1", "no known scheme")]
    [InlineData("tcp://x", "no port")]
    [InlineData("tcp://[::1]", "no port")]
    [InlineData("tcp://::1:80", "without brackets")]
    [InlineData("tcp://x:65536", "0 to 65535")]
    [InlineData("tcp://x:-1", "0 to 65535")]
    [InlineData("tcp://x:http", "0 to 65535")]
    [InlineData("tcp://a b:1", "no name and no address")]
    [InlineData("unix:", "no path")]
    [InlineData("unix:@", "no path")]
    [InlineData("unix:x.sock", "relative path")]
    public void Parse_Invalid_ReportsCauseAndRemedy(string? text, string cause)
    {
        EndpointUrl? url = EndpointUrl.Parse(text, out string? error);

        Assert.Null(url);
        Assert.Contains(cause, error, StringComparison.Ordinal);
        // The remedy: a sentence behind the cause.
        Assert.Matches(@"\. .*\.$", error);
    }

    [Fact]
    [Trait("Contract", "U4")]
    public void Parse_UnixPathTooLong_NamesTheLimitInBytes()
    {
        // Two bytes a letter: it is bytes that count.
        _ = EndpointUrl.Parse("unix:/" + new string('ä', 60), out string? error);

        Assert.Contains("121 bytes", error, StringComparison.Ordinal);
        Assert.Contains(OperatingSystem.IsMacOS() ? "103" : "107", error, StringComparison.Ordinal);
        Assert.DoesNotContain("Parameter", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Resolve_Star_IsOneListenerForBothFamilies()
    {
        EndpointUrl url = EndpointUrl.Parse("tcp://*:0", out _)!;

        EndPoint endPoint = Assert.Single(await url.ResolveAsync(new ByteStreamServerOptions(), TestContext.Current.CancellationToken));

        Assert.Equal(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, ((IPEndPoint)endPoint).Address);
    }
}

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>Validation of a relay's options.</summary>
public sealed class RelayOptionsTests
{
    [Fact]
    public void Validate_InvalidOptions_AreReportedWithTheirKeys()
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
}

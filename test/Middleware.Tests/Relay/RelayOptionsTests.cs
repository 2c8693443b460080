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
                "Relay:ConnectTimeout: '00:00:00' is not valid. It takes a time such as 30s or 00:00:30, greater than zero, at most 24d.",
                "Relay:Retries: '-1' is not valid. It takes a whole number, at least 0.",
                "Relay:HealthyAfter: '0' is not valid. It takes a whole number, at least 1.",
                "Relay:ResolveInterval: '00:00:00' is not valid. It takes a time such as 30s or 00:00:30, at least 1s, at most 24d.",
            ],
            options.GetErrors());
        Assert.StartsWith("Relay:Upstreams is empty", Assert.Single(new RelayOptions().GetErrors()), StringComparison.Ordinal);
    }
}

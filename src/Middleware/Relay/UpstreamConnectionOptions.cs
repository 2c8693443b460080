namespace ByteStreams.Relay;

/// <summary>The defaults of connections to upstreams: an upstream that has vanished without a word is noticed.</summary>
internal sealed class UpstreamConnectionOptions : ByteStreamClientOptions
{
    public UpstreamConnectionOptions()
    {
        KeepAlive = true;
        KeepAliveTime = TimeSpan.FromSeconds(60);
        KeepAliveInterval = TimeSpan.FromSeconds(10);

        // Also how long a living upstream may take nothing: longer than a pause that is meant.
        TcpUserTimeout = TimeSpan.FromMinutes(5);
    }
}

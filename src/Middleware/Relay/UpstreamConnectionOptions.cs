namespace ByteStreams.Relay;

/// <summary>The defaults of upstream connections: keep-alive and TCP_USER_TIMEOUT detect an upstream that has vanished without a reset.</summary>
internal sealed class UpstreamConnectionOptions : ByteStreamClientOptions
{
    public UpstreamConnectionOptions()
    {
        KeepAlive = true;
        KeepAliveTime = TimeSpan.FromSeconds(60);
        KeepAliveInterval = TimeSpan.FromSeconds(10);

        // Also limits how long a working upstream may stop reading, so that it exceeds an intended pause.
        TcpUserTimeout = TimeSpan.FromMinutes(5);
    }
}

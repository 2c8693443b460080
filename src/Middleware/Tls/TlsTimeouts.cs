namespace ByteStreams.Tls;

/// <summary>How long the handshake and the close may take, by which clock.</summary>
internal sealed record TlsTimeouts(TimeSpan Handshake, TimeSpan Shutdown, TimeProvider Time)
{
    /// <summary>asyncio's own: 60 s and 30 s.</summary>
    public static TlsTimeouts Default { get; } = new(TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(30), TimeProvider.System);
}

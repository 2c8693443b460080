namespace ByteStreams.Tls;

/// <summary>How long the handshake and the close may take, by which clock, and whether an end without close_notify is one.</summary>
internal sealed record TlsSettings(TimeSpan Handshake, TimeSpan Shutdown, TimeProvider Time, bool RequireCloseNotify = true)
{
    /// <summary>asyncio's own: 60 s and 30 s.</summary>
    public static TlsSettings Default { get; } = new(TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(30), TimeProvider.System);
}

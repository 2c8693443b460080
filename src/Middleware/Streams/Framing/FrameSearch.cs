namespace ByteStreams.Streams;

/// <summary>What a reader knows about the frame at its position, so that bytes that arrive later are examined once.</summary>
internal sealed class FrameSearch
{
    private Framing? _framing;
    private long _position = -1;

    /// <summary>The bytes from the frame's start that a framing with a delimiter has searched.</summary>
    public long Searched;

    /// <summary>The frame, once its length is known.</summary>
    public FrameBounds Bounds;

    /// <summary>Keeps the state of a search with the same framing at the same position of the stream; drops that of another.</summary>
    public void LookFor(Framing framing, long position)
    {
        if (_position != position || !ReferenceEquals(_framing, framing))
        {
            (_framing, _position, Searched, Bounds) = (framing, position, 0, default);
        }
    }
}

namespace ByteStreams.Transport;

/// <summary>How a loop waits for its next events.</summary>
internal static unsafe class LoopPolling
{
    public static int Wait(int epoll, byte* events, int most) => LibC.Wait(epoll, events, most, milliseconds: -1);
}

using System.Runtime.CompilerServices;

namespace ByteStreams.Transport;

/// <summary>The send or the shutdown of a <see cref="TransportPipeWriter"/> that the channel has not completed at once.</summary>
internal sealed class AwaitedSend
{
    private readonly TransportPipeWriter _writer;
    private readonly Action _onSent;
    private ValueTaskAwaiter<int> _send;
    private ValueTaskAwaiter _shutdown;

    public AwaitedSend(TransportPipeWriter writer)
    {
        _writer = writer;
        _onSent = OnSent;
    }

    public void BeginSend(ValueTask<int> send)
    {
        _send = send.GetAwaiter();
        _send.UnsafeOnCompleted(_onSent);
    }

    public void BeginShutdown(ValueTask shutdown)
    {
        _shutdown = shutdown.GetAwaiter();
        _shutdown.UnsafeOnCompleted(OnShutDown);
    }

    private void OnSent()
    {
        int count = 0;
        Exception? failure = null;
        try
        {
            count = _send.GetResult();
        }
        catch (Exception error)
        {
            failure = error;
        }

        _writer.OnSent(count, failure);
    }

    private void OnShutDown()
    {
        Exception? failure = null;
        try
        {
            _shutdown.GetResult();
        }
        catch (Exception error)
        {
            failure = error;
        }

        _writer.OnShutDown(failure);
    }
}

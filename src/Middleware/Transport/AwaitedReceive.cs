using System.Runtime.CompilerServices;

namespace ByteStreams.Transport;

/// <summary>
/// The waits and receives of a <see cref="ReceiveDriver"/> whose channel is awaited; an event loop calls the driver instead. Guarded by the
/// driver's lock.
/// </summary>
internal sealed class AwaitedReceive
{
    private readonly ReceiveDriver _driver;
    private readonly TransportPipeReader _reader;
    private readonly ByteChannel _channel;
    private readonly Action _onCompleted;
    private ValueTaskAwaiter _wait;
    private ValueTaskAwaiter<int> _receive;

    public AwaitedReceive(ReceiveDriver driver, TransportPipeReader reader, ByteChannel channel)
    {
        _driver = driver;
        _reader = reader;
        _channel = channel;
        _onCompleted = OnCompleted;
    }

    /// <summary>Whether a receive is in flight, which writes to the last block of the queue; false also for a wait.</summary>
    public bool IsReceiving { get; private set; }

    /// <summary>The failure of a send, while a receive that has bytes to bring is in flight.</summary>
    public Exception? Loss { get; set; }

    /// <summary>Begins a wait or a receive.</summary>
    /// <param name="waits">Whether to wait before a block is taken; false where bytes are likely to have arrived.</param>
    /// <returns>Whether something was received, or has ended; false while it is in flight.</returns>
    public bool Receive(bool waits)
    {
        if (waits)
        {
            ValueTask wait = _channel.WaitToReceiveAsync();
            if (!wait.IsCompleted)
            {
                _driver.IsInFlight = true;
                _wait = wait.GetAwaiter();
                _wait.UnsafeOnCompleted(_onCompleted);
                return false;
            }

            wait.GetAwaiter().GetResult();
        }

        return ReceiveIntoBlock();
    }

    private bool ReceiveIntoBlock()
    {
        ValueTask<int> receive = _channel.ReceiveAsync(_driver.FreeBlock());
        if (!receive.IsCompleted)
        {
            _driver.IsInFlight = true;
            IsReceiving = true;
            _receive = receive.GetAwaiter();
            _receive.UnsafeOnCompleted(_onCompleted);
            return false;
        }

        if (receive.IsFaulted)
        {
            // Not thrown and caught, which would cost as much as a connection.
            _driver.Fail(receive.AsTask().Exception!.InnerException!);
            return true;
        }

        _driver.Accept(receive.GetAwaiter().GetResult());
        return true;
    }

    private void OnCompleted()
    {
        TransportPipeReader.Completion completion;
        using (_driver.Gate.Enter())
        {
            _driver.IsInFlight = false;
            try
            {
                if (!TryEnd())
                {
                    return;
                }
            }
            catch (Exception error)
            {
                _driver.Fail(error);
            }

            if (Loss is not null && !IsReceiving)
            {
                _driver.FailAfterLast(Loss);
            }

            completion = _reader.Settle(asynchronously: false);
        }

        _reader.Complete(completion);
    }

    /// <summary>Ends a receive; or a wait, after which a receive begins.</summary>
    /// <returns>Whether something was received, or has ended.</returns>
    private bool TryEnd()
    {
        if (!IsReceiving)
        {
            _wait.GetResult();
            return !_driver.TryPause() && ReceiveIntoBlock();
        }

        IsReceiving = false;
        int count = _receive.GetResult();
        // The kernel reports a reset once: after a send that it was reported to, a receive reads it as an end.
        if (count > 0 || Loss is null)
        {
            _driver.Accept(count);
        }

        return true;
    }
}

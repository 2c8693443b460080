using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Middleware.Tests.Timeouts;

/// <summary>
/// Observes a connection between its transport and its timeouts, and waits until the timeouts have observed a waiting read. The counts of the
/// connection do not show that, because received bytes are counted before the read that waited for them completes.
/// </summary>
internal sealed class ReadWatch : IProgressObserver
{
    private readonly IConnectionProgress _progress;
    private readonly IProgressObserver? _timeouts;
    private long _receivedAtWait = -1;

    /// <param name="connection">The connection, which is not used yet.</param>
    public ReadWatch(ConnectionContext connection)
    {
        _progress = ConnectionLink.Progress(connection);
        _timeouts = _progress.Observer;
        _progress.Observe(this, input: true, output: true);
    }

    /// <summary>Waits until so many bytes were received, everything was sent, and a read waits of which the timeouts know.</summary>
    public Task UntilReadingAsync(long received) => Patience.UntilAsync(
        () => Volatile.Read(ref _receivedAtWait) == received && _progress is { IsWaitingForInput: true, IsSendWaiting: false },
        () => $"a wait at {Volatile.Read(ref _receivedAtWait)}, {received} awaited, {_progress.InputReceived} received, {_progress.IsWaitingForInput} and {_progress.IsSendWaiting}");

    void IProgressObserver.OnReadWaits()
    {
        _timeouts?.OnReadWaits();
        Volatile.Write(ref _receivedAtWait, _progress.InputReceived);
    }

    void IProgressObserver.OnRecordBegins() => _timeouts?.OnRecordBegins();

    void IProgressObserver.OnSendWaits() => _timeouts?.OnSendWaits();

    void IProgressObserver.OnDirectionEnds() => _timeouts?.OnDirectionEnds();

    void IProgressObserver.OnRelayed(IConnectionProgress upstream) => _timeouts?.OnRelayed(upstream);
}

using System.Buffers;
using System.Net.WebSockets;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace ByteStreams.Web;

/// <summary>A channel over a stream or WebSocket of an HTTP request. Reset, close and the request's abort cancel the operations that wait.</summary>
/// <param name="context">The request. Its abort is the loss of the connection; <see cref="Reset"/> aborts it: RST_STREAM on HTTP/2.</param>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "Without a timer and a wait handle it holds nothing, and other threads use its token.")]
internal abstract class WebChannel(HttpContext context) : ByteChannel
{
    private readonly CancellationTokenSource _closed = new();
    private readonly CancellationToken _aborted = context.RequestAborted;

    // The operations in flight, and one until CloseAsync.
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inFlight = 1;
    private ConnectionResetException? _loss;
    private volatile bool _isOutputEnded;

    /// <summary>Whether the request's abort ends receives as well. False where they still bring what has arrived before it.</summary>
    protected virtual bool EndsInputAtAbort => true;

    /// <summary>Whether <see cref="ShutdownSendAsync()"/> has completed.</summary>
    protected bool IsOutputEnded => _isOutputEnded;

    public override bool ReportLoss(IReceiver receiver) => true;

    public override Exception? FindLoss() => EndsInputAtAbort ? Volatile.Read(ref _loss) : null;

    public override ValueTask WaitToReceiveAsync() => new(ReceiveAsync(Memory<byte>.Empty).AsTask());

    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        Enter();
        try
        {
            return await ReceiveAsync(destination, _closed.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (IsLoss(error))
        {
            throw ToReset(error);
        }
        finally
        {
            Leave();
        }
    }

    public override async ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        ReadOnlyMemory<byte> first = source.First;
        Enter();
        try
        {
            // Kestrel drops what is written after the abort.
            ThrowIfLost();
            await SendAsync(first, _closed.Token).ConfigureAwait(false);
            return first.Length;
        }
        catch (Exception error) when (IsLoss(error))
        {
            throw ToReset(error);
        }
        finally
        {
            Leave();
        }
    }

    public override async ValueTask ShutdownSendAsync()
    {
        Enter();
        try
        {
            ThrowIfLost();
            await ShutdownSendAsync(_closed.Token).ConfigureAwait(false);
            _isOutputEnded = true;
        }
        catch (Exception error) when (IsLoss(error))
        {
            throw ToReset(error);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>The request was aborted. Callable from any thread.</summary>
    /// <returns>Whether that is the loss of the connection. After the output's end it is not: the peer may leave, and the linger's receive finds it.</returns>
    public bool OnAborted()
    {
        if (_isOutputEnded)
        {
            return false;
        }

        Volatile.Write(ref _loss, new ConnectionResetException("The peer has reset the HTTP request, or its connection was lost."));
        if (EndsInputAtAbort)
        {
            _closed.Cancel();
        }

        return true;
    }

    public override void Reset()
    {
        context.Abort();
        Close();
    }

    public override void Close() => _closed.Cancel();

    /// <summary>Closes, and waits for the operations in flight: nothing may use the request after its end. Called once.</summary>
    public Task CloseAsync()
    {
        Close();
        Leave();
        return _idle.Task;
    }

    protected abstract ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken closed);

    protected abstract ValueTask SendAsync(ReadOnlyMemory<byte> source, CancellationToken closed);

    protected abstract ValueTask ShutdownSendAsync(CancellationToken closed);

    private void Enter() => Interlocked.Increment(ref _inFlight);

    private void Leave()
    {
        if (Interlocked.Decrement(ref _inFlight) == 0)
        {
            _idle.TrySetResult();
        }
    }

    private void ThrowIfLost()
    {
        if (Volatile.Read(ref _loss) is ConnectionResetException loss)
        {
            throw ToReset(loss);
        }
    }

    // InvalidOperationException: Kestrel's response after the request was aborted, and nothing else.
    private bool IsLoss(Exception error) => error switch
    {
        ConnectionResetException => false,
        InvalidOperationException and not ObjectDisposedException => _closed.IsCancellationRequested || _aborted.IsCancellationRequested,
        _ => error is IOException or OperationCanceledException or ObjectDisposedException or WebSocketException,
    };

    private ConnectionResetException ToReset(Exception error) =>
        new(Volatile.Read(ref _loss)?.Message ?? $"The HTTP connection was lost: {error.Message}", error);
}

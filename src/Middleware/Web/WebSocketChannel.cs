using System.Net.WebSockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace ByteStreams.Web;

/// <summary>
/// The bytes of a WebSocket's messages. Message borders have no meaning. A Close frame is the end of the input; there is no half-close.
/// Source: RFC 6455.
/// </summary>
/// <param name="socket">The WebSocket.</param>
/// <param name="acceptsText">Whether the bytes of text messages are received as well.</param>
/// <param name="context">The request.</param>
internal sealed class WebSocketChannel(WebSocket socket, bool acceptsText, HttpContext context) : WebChannel(context)
{
    private const int Idle = 0;
    private const int Sending = 1;
    private const int Refused = 2;

    private readonly TaskCompletionSource _refusal = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _output;

    public override bool CanShutdownSend => false;

    public override void Reset()
    {
        socket.Abort();
        base.Reset();
    }

    /// <summary>
    /// After a refusal: receives and discards until the peer's Close frame, because unread bytes would make Kestrel's close a reset, which
    /// destroys the code that was sent.
    /// </summary>
    /// <param name="timeout">The longest time.</param>
    /// <param name="time">The clock.</param>
    public async Task LingerAsync(TimeSpan timeout, TimeProvider time)
    {
        if (Volatile.Read(ref _output) != Refused || timeout == TimeSpan.Zero)
        {
            return;
        }

        using var limit = new CancellationTokenSource(timeout, time);
        var discarded = new byte[4096];
        try
        {
            while (socket.State == WebSocketState.CloseSent)
            {
                await socket.ReceiveAsync(discarded.AsMemory(), limit.Token).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or WebSocketException or IOException)
        {
            // The peer has left without a Close frame, or sends none: there is nothing left to deliver.
        }
    }

    protected override async ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken closed)
    {
        while (socket.State is not (WebSocketState.CloseReceived or WebSocketState.Closed))
        {
            ValueWebSocketReceiveResult received;
            try
            {
                received = await socket.ReceiveAsync(destination, closed).ConfigureAwait(false);
            }
            catch (WebSocketException error) when (IsOutputEnded && error is { WebSocketErrorCode: WebSocketError.ConnectionClosedPrematurely, InnerException: null })
            {
                // A peer that has got the Close frame may leave without one of its own.
                return 0;
            }

            if (received.MessageType == WebSocketMessageType.Text && !acceptsText && !IsOutputEnded)
            {
                await RefuseTextAsync(closed).ConfigureAwait(false);
            }

            if (received.Count > 0 || destination.IsEmpty)
            {
                return received.Count;
            }
        }

        return 0;
    }

    protected override async ValueTask SendAsync(ReadOnlyMemory<byte> source, CancellationToken closed)
    {
        await BeginSendAsync().ConfigureAwait(false);
        try
        {
            await socket.SendAsync(source, WebSocketMessageType.Binary, WebSocketMessageFlags.EndOfMessage, closed).ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref _output, Idle);
        }
    }

    protected override async ValueTask ShutdownSendAsync(CancellationToken closed)
    {
        await BeginSendAsync().ConfigureAwait(false);
        try
        {
            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, closed).ConfigureAwait(false);
            }
        }
        finally
        {
            Volatile.Write(ref _output, Idle);
        }
    }

    private async ValueTask BeginSendAsync()
    {
        if (Interlocked.CompareExchange(ref _output, Sending, Idle) == Refused)
        {
            // The loss is reported after the Close frame: it cancels what is in flight.
            await _refusal.Task.ConfigureAwait(false);
            throw Refusal();
        }
    }

    private async Task RefuseTextAsync(CancellationToken closed)
    {
        // A send that waits for a slow peer would delay the Close frame without bound: then there is only the reset.
        if (Interlocked.CompareExchange(ref _output, Refused, Idle) == Idle)
        {
            try
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.InvalidMessageType, "Send binary messages.", closed).ConfigureAwait(false);
            }
            finally
            {
                _refusal.TrySetResult();
            }
        }

        throw Refusal();
    }

    private static ConnectionResetException Refusal() => new("The peer sent a text message. Send binary messages, or set AcceptText.");
}

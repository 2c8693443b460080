using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>Clients that connect, send a line, read the answer and close, one after the other, until they are disposed.</summary>
internal sealed class ConnectingClients : IAsyncDisposable
{
    /// <summary>How the line of a connection ends that was closed cleanly and without an answer.</summary>
    public const string Unanswered = "closed without an answer";

    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<string> _failures = new();
    private readonly Task _running;
    private int _answered;

    public ConnectingClients(params EndPoint[] endPoints) => _running = Task.WhenAll(
        endPoints.SelectMany(endPoint => Enumerable.Range(0, 2).Select(_ => Task.Run(() => RunAsync(endPoint)))));

    public int Answered => Volatile.Read(ref _answered);

    /// <summary>Stops them. Each refused, reset or unanswered connection is a line.</summary>
    public async Task<IReadOnlyList<string>> StopAsync()
    {
        await _stop.CancelAsync();
        await _running;
        return [.. _failures];
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop.Dispose();
    }

    private async Task RunAsync(EndPoint endPoint)
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using Socket socket = endPoint is UnixDomainSocketEndPoint
                    ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
                    : new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
                await socket.ConnectAsync(endPoint);
                await socket.SendAsync("x\n"u8.ToArray());
                byte[] answer = new byte[2];
                int received = await socket.ReceiveAsync(answer);
                if (received == 0)
                {
                    _failures.Enqueue($"{endPoint}: {Unanswered}");
                }

                Interlocked.Increment(ref _answered);
            }
            catch (SocketException failed)
            {
                _failures.Enqueue($"{endPoint}: {failed.SocketErrorCode}");
            }
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace StreamsHost.Tests;

/// <summary>
/// Clients of an echo service, each of which sends a line as soon as it has the last one back, until the service ends the connection.
/// A connection may end between two lines only, and never by a reset; and a line that was sent before the signal is always answered.
/// One that was sent behind it may cross the end: the client then sees a clean end, and knows that nobody answered.
/// </summary>
internal sealed class Load(int port)
{
    private readonly List<Task> _clients = [];
    private readonly TaskCompletionSource _enough = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _signalled = long.MaxValue;
    private long _answered;
    private long _awaited = long.MaxValue;
    private int _crossed;

    /// <summary>Replies, each whole.</summary>
    public long Answered => Interlocked.Read(ref _answered);

    /// <summary>Lines that were sent behind the signal, and met the end instead of an answer.</summary>
    public int Crossed => Volatile.Read(ref _crossed);

    public async Task StartAsync(int clients, CancellationToken cancellationToken)
    {
        for (int i = 0; i < clients; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, port, cancellationToken);
            int number = i;
            _clients.Add(Task.Run(() => AskAsync(socket, number, cancellationToken), cancellationToken));
        }
    }

    /// <summary>Waits for so many replies.</summary>
    public async Task AnsweredAsync(long count)
    {
        Interlocked.Exchange(ref _awaited, Answered + count);
        await Task.WhenAny([_enough.Task, .. _clients]);
        Assert.True(_enough.Task.IsCompleted, "a client has ended");
    }

    /// <summary>Notes when, and signals.</summary>
    public void Signalled(Action signal)
    {
        Volatile.Write(ref _signalled, Stopwatch.GetTimestamp());
        signal();
    }

    /// <summary>Waits for the end of all clients; what one of them found wrong is thrown.</summary>
    public Task EndAsync() => Task.WhenAll(_clients);

    private async Task AskAsync(Socket socket, int number, CancellationToken cancellationToken)
    {
        using (socket)
        {
            byte[] reply = new byte[64];
            for (int i = 0; ; i++)
            {
                byte[] line = Encoding.ASCII.GetBytes($"client {number}, line {i}\n");
                await socket.SendAsync(line, cancellationToken);
                long sent = Stopwatch.GetTimestamp();
                int received = 0;
                while (received < line.Length)
                {
                    int count = await socket.ReceiveAsync(reply.AsMemory(received, line.Length - received), cancellationToken);
                    if (count == 0)
                    {
                        Assert.True(received == 0, $"client {number} has {received} bytes of {line.Length}");
                        Assert.True(sent > Volatile.Read(ref _signalled), $"client {number} has sent line {i} before the signal, and has no reply");
                        Interlocked.Increment(ref _crossed);
                        return;
                    }

                    received += count;
                }

                Assert.Equal(line, reply.AsSpan(0, received).ToArray());
                if (socket.Poll(TimeSpan.Zero, SelectMode.SelectRead) && socket.Available == 0)
                {
                    // The end came with the answer: nobody sends another line then.
                    Interlocked.Increment(ref _answered);
                    return;
                }

                if (Interlocked.Increment(ref _answered) == Interlocked.Read(ref _awaited))
                {
                    _enough.TrySetResult();
                }
            }
        }
    }
}

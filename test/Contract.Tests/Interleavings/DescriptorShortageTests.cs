using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>A change of a listener while the process has no descriptor left: no other test runs, which would have none either.</summary>
[Collection(nameof(Alone))]
public sealed class DescriptorShortageTests
{
    private const int FewLoops = 2;
    private const int ManyLoops = 13;

    [Fact(Timeout = 60000)]
    public async Task Change_NoDescriptorForFurtherLoops_TheListenerGoesOnAndTheNextChangeSucceeds()
    {
        Assert.SkipUnless(LibC.IsSupported, "The engine needs Linux on x64 or arm64.");
        ByteStreamServerOptions before = Options(loops: 1);
        await using SocketListener listener = SocketListener.Bind(new IPEndPoint(IPAddress.Loopback, 0), before, NullLogger.Instance);
        listener.Listen();
        // What a change loads and opens itself is there by now.
        listener.Change(Options(FewLoops));
        listener.Change(before);
        ByteStreamServerOptions after = Options(ManyLoops);
        var held = new List<Socket>();
        Exception? failure;
        try
        {
            Exhaust(held);
            // One for the socket that the change asks for the system's values.
            held[0].Dispose();
            failure = Record.Exception(() => listener.Change(after));
        }
        finally
        {
            held.ForEach(socket => socket.Dispose());
        }

        Assert.True(failure is IOException or SocketException, failure?.ToString());
        await AcceptsAsync(listener);

        listener.Change(after);
        await AcceptsAsync(listener);
        Assert.All(EventLoopGroup.All, loop => Assert.NotNull(loop));
    }

    /// <summary>The engine is that of the test, whichever the run's default is: only epoll has loops.</summary>
    private static ByteStreamServerOptions Options(int loops) => new() { Engine = ByteStreamEngine.Epoll, EventLoops = loops };

    /// <summary>Opens sockets until there is no descriptor left.</summary>
    private static void Exhaust(List<Socket> held)
    {
        const int most = 100_000;
        Assert.SkipUnless(DescriptorLimit.Process.Most <= most, "so many descriptors take too long; run it with ulimit -n 4096");
        while (held.Count < most)
        {
            try
            {
                held.Add(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
            }
            catch (SocketException)
            {
                return;
            }
        }
    }

    private static async Task AcceptsAsync(SocketListener listener)
    {
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(listener.EndPoint, TestContext.Current.CancellationToken);
        ConnectionContext? accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TestContext.Current.CancellationToken);
        Assert.NotNull(accepted);
        await accepted.DisposeAsync();
    }
}

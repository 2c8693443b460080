using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Faults.Tests;

/// <summary>
/// A row about a whole process: StreamsHost as its users run it. Behind the row's own outcome an echo answers within a second, the
/// process has the sockets that it had before, and each connection has left one summary line with the right reason.
/// </summary>
public abstract class ProcessTest : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly List<ServerProcess> _started = [];
    private readonly List<Socket> _sockets = [];

    protected ProcessTest()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Processes are looked at in /proc.");
        _deadline.CancelAfter(TimeSpan.FromMinutes(3));
    }

    /// <summary>No await of a test lasts longer than this.</summary>
    protected CancellationToken Soon => _deadline.Token;

    /// <summary>For a test that takes longer.</summary>
    protected void TakeTime(TimeSpan time) => _deadline.CancelAfter(time);

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        _sockets.ForEach(socket => socket.Dispose());
        foreach (ServerProcess started in _started)
        {
            await started.DisposeAsync();
        }

        _deadline.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>A figure for docs/faults.md, kept with the test's result.</summary>
    protected static void Figure(FormattableString figure) =>
        TestContext.Current.AddAttachment($"figure {Guid.NewGuid():N}", figure.ToString(CultureInfo.InvariantCulture));

    /// <summary>A demand of the row that is not met, told as it is in docs/faults.md: what else is demanded is asserted.</summary>
    protected static void Missed(FormattableString demand) =>
        TestContext.Current.AddAttachment($"missed {Guid.NewGuid():N}", demand.ToString(CultureInfo.InvariantCulture));

    private protected Task<ServerProcess> HostAsync(params (string Key, string Value)[] settings) => HostAsync([], 0, settings);

    private protected async Task<ServerProcess> HostAsync(string[] wrapper, int port, params (string Key, string Value)[] settings) =>
        Owned(await ServerProcess.StartHostAsync(wrapper, port, settings));

    private protected async Task<ServerProcess> KestrelAsync(params string[] wrapper) => Owned(await ServerProcess.StartKestrelAsync(wrapper));

    /// <summary>One echo over a connection of its own; what it took.</summary>
    private protected async Task<TimeSpan> EchoAsync(EndPoint endPoint)
    {
        var watch = Stopwatch.StartNew();
        using Socket socket = Connect(endPoint);
        await EchoAsync(socket, "canary\n");
        return watch.Elapsed;
    }

    private protected async Task EchoAsync(Socket socket, string line)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(line);
        await socket.SendAsync(bytes, Soon);
        byte[] answer = new byte[bytes.Length];
        for (int count = 0; count < answer.Length;)
        {
            int more = await socket.ReceiveAsync(answer.AsMemory(count), Soon);
            Assert.True(more > 0, "The connection has ended within the echo.");
            count += more;
        }

        Assert.Equal(line, Encoding.ASCII.GetString(answer));
    }

    /// <summary>A socket that is disposed with the test.</summary>
    private protected Socket Connect(EndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        _sockets.Add(socket);
        socket.Connect(endPoint);
        return socket;
    }

    /// <summary>Whether the connect succeeds: a client that is refused at once may meet the reset there.</summary>
    private protected async Task<bool> IsConnectedAsync(Socket socket, EndPoint endPoint)
    {
        try
        {
            await socket.ConnectAsync(endPoint, Soon);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Whether a client gets an echo. If not, its connection ends by a reset, and does not stay.</summary>
    private protected async Task<bool> IsServedAsync(Socket socket)
    {
        byte[] answer = new byte[6];
        try
        {
            await socket.SendAsync("hello\n"u8.ToArray(), Soon);
            await using var stream = new NetworkStream(socket);
            await stream.ReadExactlyAsync(answer, Soon);
        }
        catch (Exception error) when (error is SocketException or IOException { InnerException: SocketException })
        {
            return false;
        }

        Assert.Equal("hello\n"u8.ToArray(), answer);
        return true;
    }

    /// <summary>As <see cref="IsServedAsync(Socket)"/>, for a client that connects first.</summary>
    private protected async Task<bool> IsServedAsync(EndPoint endPoint)
    {
        using var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        return await IsConnectedAsync(socket, endPoint) && await IsServedAsync(socket);
    }

    /// <summary>Resident memory once it no longer falls: what is collected now is nobody's.</summary>
    private protected async Task<long> SettledMemoryAsync(ServerProcess server)
    {
        long least = long.MaxValue;
        for (int calm = 0; calm < 4; calm++)
        {
            await Task.Delay(250, Soon);
            if (server.ResidentBytes < least - 65536)
            {
                calm = 0;
            }

            least = Math.Min(least, server.ResidentBytes);
        }

        return server.ResidentBytes;
    }

    /// <summary>
    /// Resident memory that connections hold. Garbage, free memory of the collector and the stacks of idle pool threads differ by megabytes
    /// from run to run: it takes several full collections, and the 20 s after which such a thread ends, until they are gone.
    /// </summary>
    private protected async Task<long> CollectedMemoryAsync(ServerProcess server)
    {
        const int NoFall = 256 * 1024;
        var idleThreadsEnd = TimeSpan.FromSeconds(25);
        long least = long.MaxValue;
        for (long fell = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(fell) < idleThreadsEnd;)
        {
            await server.CollectAsync();
            await Task.Delay(500, Soon);
            long now = server.ResidentBytes;
            fell = now < least - NoFall ? Stopwatch.GetTimestamp() : fell;
            least = Math.Min(least, now);
        }

        return least;
    }

    /// <summary>The common outcome.</summary>
    private protected async Task AssertRecoveredAsync(ServerProcess host, int sockets, params (string Reason, int Count)[] reasons)
    {
        TimeSpan took = await EchoAsync(host.EndPoint);
        Assert.True(took < Patience.OnThisMachine(TimeSpan.FromSeconds(1)), $"The canary's echo took {took.TotalMilliseconds:0} ms.");
        await Patience.UntilAsync(() => host.Sockets <= sockets && host.Reasons.Values.Sum() >= reasons.Sum(reason => reason.Count) + 1);
        // The canary's own line is one more of those that ended as they should.
        var seen = host.Reasons.ToDictionary();
        seen["closed_by_peer"]--;
        Assert.Equal(
            reasons.Select(reason => $"{reason.Count} {reason.Reason}").Order(),
            seen.Where(reason => reason.Value > 0).Select(reason => $"{reason.Value} {reason.Key}").Order());
    }

    private ServerProcess Owned(ServerProcess started)
    {
        _started.Add(started);
        return started;
    }
}

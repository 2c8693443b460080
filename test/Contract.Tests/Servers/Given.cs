using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>A transport that a server listens on.</summary>
public enum Medium
{
    Tcp,
    Unix,
    Memory,
}

/// <summary>What these tests begin with: addresses, handlers, logs that are kept.</summary>
internal static class Given
{
    /// <summary>Echoes whatever arrives, until the end.</summary>
    public static readonly ByteStreamDelegate Echo = async (reader, writer, stopping) =>
    {
        while (await reader.ReadAsync(65536, stopping) is { Length: > 0 } bytes)
        {
            writer.Write(bytes);
            await writer.DrainAsync(stopping);
        }
    };

    /// <summary>Reads to the end and answers nothing.</summary>
    public static readonly ByteStreamDelegate UntilEnd = (reader, _, _) => reader.ReadAsync(-1, CancellationToken.None).AsTask();

    public static Task Soon(this Task task) => task.WaitAsync(Patience.Limit);

    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(Patience.Limit);

    public static Task<T> Soon<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Patience.Limit);

    public static Task Soon(this ValueTask task) => task.AsTask().WaitAsync(Patience.Limit);

    /// <summary>Reads to the end.</summary>
    public static Task<byte[]> Rest(this ByteStreamConnection connection) => connection.Reader.ReadAsync(-1, TestContext.Current.CancellationToken).Soon();

    public static Task<byte[]> Line(this ByteStreamConnection connection) => connection.Reader.ReadLineAsync(TestContext.Current.CancellationToken).Soon();

    public static EndPoint Address(Medium medium, TemporaryFolder folder) => medium switch
    {
        Medium.Tcp => new IPEndPoint(IPAddress.Loopback, 0),
        Medium.Unix => new UnixDomainSocketEndPoint(folder.File("s.sock")),
        _ => new InMemoryEndPoint(Guid.NewGuid().ToString()),
    };

    public static Task<ByteStreamConnection> Connect(ByteStreamServer server, ByteStreamClientOptions? options = null) =>
        ByteStream.OpenConnectionAsync(server.EndPoints[0], options, TestContext.Current.CancellationToken).Soon();

    public static int Port(this ByteStreamServer server) => ((IPEndPoint)server.EndPoints[0]).Port;

    /// <summary>The sockets that the server has accepted.</summary>
    public static IEnumerable<Socket> Sockets(this ByteStreamServer server) => server.Clients.Select(client => ((ChannelConnection)client).Socket);

    /// <summary>A connected TCP socket, for clients that misbehave.</summary>
    public static async Task<Socket> RawClient(ByteStreamServer server)
    {
        EndPoint endPoint = server.EndPoints[0];
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(endPoint).Soon();
        return socket;
    }

    public static void Reset(this Socket socket)
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    /// <summary>A factory whose records are kept in <paramref name="collector"/>, of every level.</summary>
    public static ILoggerFactory Logs(out FakeLogCollector collector)
    {
        var kept = new FakeLogCollector();
        collector = kept;
        return LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(new FakeLoggerProvider(kept)));
    }

    public static IEnumerable<FakeLogRecord> AtLeast(this FakeLogCollector collector, LogLevel level) =>
        collector.GetSnapshot().Where(record => record.Level >= level);
}

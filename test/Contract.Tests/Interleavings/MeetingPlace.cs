using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>What carries the bytes of a scenario.</summary>
public enum Medium
{
    Memory,
    TcpEpoll,
    TcpSocket,
    UnixEpoll,
    UnixSocket,
    TlsMemory,
    TlsEpoll,
    TlsSocket,
}

/// <summary>A server that puts handlers into the hands of scenarios, one after the other.</summary>
internal sealed class MeetingPlace : IAsyncDisposable
{
    private readonly Channel<Handler> _handlers = Channel.CreateUnbounded<Handler>();
    private readonly string _folder = Directory.CreateTempSubdirectory("bs-").FullName;
    private readonly Medium _medium;

    private MeetingPlace(Medium medium) => _medium = medium;

    public ByteStreamServer Server { get; private set; } = null!;

    public bool IsTls => _medium >= Medium.TlsMemory;

    private ByteStreamEngine Engine => _medium.ToString().EndsWith("Socket", StringComparison.Ordinal) ? ByteStreamEngine.Socket : ByteStreamEngine.Default;

    public static async Task<MeetingPlace> StartAsync(Medium medium)
    {
        var place = new MeetingPlace(medium);
        EndPoint endPoint = medium switch
        {
            Medium.Memory or Medium.TlsMemory => new InMemoryEndPoint(Guid.NewGuid().ToString()),
            Medium.UnixEpoll or Medium.UnixSocket => new UnixDomainSocketEndPoint(Path.Combine(place._folder, "s")),
            _ => new IPEndPoint(IPAddress.Loopback, 0),
        };
        // Longer than any scenario: a peer that is slow to read is not to lose what was sent to it.
        var options = new ByteStreamServerOptions { Engine = place.Engine, LingerTimeout = Patience.Limit, LingerBytes = 1 << 30 };
        options.Tls = place.IsTls ? TestCertificate.Server : null;
        place.Server = await ByteStream.StartServerAsync(place.HandleAsync, endPoint, options);
        return place;
    }

    public async Task<(ByteStreamConnection Client, Handler Handler)> ConnectAsync(CancellationToken late)
    {
        var options = new ByteStreamClientOptions { Engine = Engine, LingerTimeout = Patience.Limit, LingerBytes = 1 << 30 };
        options.Tls = IsTls ? TestCertificate.Client : null;
        ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server.EndPoints[0], options, late);
        return (client, await _handlers.Reader.ReadAsync(late));
    }

    public async ValueTask DisposeAsync()
    {
        Server.Close();
        Server.AbortClients();
        await Server.DisposeAsync().AsTask().WaitAsync(Patience.Limit);
        Directory.Delete(_folder, recursive: true);
    }

    private Task HandleAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        var handler = new Handler(reader, writer, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        _handlers.Writer.TryWrite(handler);
        return handler.Result.Task;
    }

    /// <summary>A handler's reader and writer, and how it ends.</summary>
    internal sealed record Handler(ByteStreamReader Reader, ByteStreamWriter Writer, TaskCompletionSource Result);
}

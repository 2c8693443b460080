using System.Net;
using System.Net.Sockets;
using Benchmarks;
using Benchmarks.Streams;

var arguments = new PeerArguments(args);
if (arguments.Line is int line)
{
    Serve(new IPEndPoint(IPAddress.Loopback, line), Echo.LinesAsync);
}

if (arguments.Frame is int frame)
{
    Serve(new IPEndPoint(IPAddress.Loopback, frame), Echo.FramesAsync);
}

if (arguments.Unix is string unix)
{
    Serve(new UnixDomainSocketEndPoint(unix), Echo.LinesAsync);
}

if (arguments.UnixFrame is string unixFrame)
{
    Serve(new UnixDomainSocketEndPoint(unixFrame), Echo.FramesAsync);
}

await PeerProcess.ServeUntilTerminatedAsync();

static void Serve(EndPoint endPoint, Func<Stream, Task> echo)
{
    var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
    listener.Bind(endPoint);
    listener.Listen(4096);
    _ = AcceptAsync(listener, echo);
}

static async Task AcceptAsync(Socket listener, Func<Stream, Task> echo)
{
    while (true)
    {
        Socket client = await listener.AcceptAsync();
        if (client.AddressFamily == AddressFamily.InterNetwork)
        {
            client.NoDelay = true;
        }

        _ = HandleAsync(client, echo);
    }
}

static async Task HandleAsync(Socket client, Func<Stream, Task> echo)
{
    try
    {
        await using var stream = new NetworkStream(client, ownsSocket: true);
        await echo(stream);
    }
    catch (IOException error)
    {
        await Console.Error.WriteLineAsync(error.Message);
    }
}

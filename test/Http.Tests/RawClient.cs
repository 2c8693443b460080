using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Http.Tests;

/// <summary>A client that writes and reads the bytes of HTTP/1.1 itself, and leaves as it likes.</summary>
internal sealed class RawClient : IDisposable
{
    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly CancellationToken _soon;

    private RawClient(Socket socket, Stream stream, CancellationToken soon)
    {
        _socket = socket;
        _stream = stream;
        _soon = soon;
    }

    public static async Task<RawClient> ConnectAsync(Application application, CancellationToken soon)
    {
        Socket socket = await application.ConnectAsync(soon);
        var plain = new NetworkStream(socket, ownsSocket: true);
        if (!application.IsTls)
        {
            return new RawClient(socket, plain, soon);
        }

        var tls = new SslStream(plain);
        await tls.AuthenticateAsClientAsync(Application.ClientTls, soon);
        return new RawClient(socket, tls, soon);
    }

    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    public async Task SendAsync(byte[] bytes) => await _stream.WriteAsync(bytes, _soon);

    /// <summary>Reads a response's status line and headers, through the empty line.</summary>
    public async Task<string> ReadHeadAsync()
    {
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await _stream.ReadExactlyAsync(one, _soon);
            head.Append((char)one[0]);
        }

        return head.ToString();
    }

    public async Task<byte[]> ReadExactlyAsync(int count)
    {
        var bytes = new byte[count];
        await _stream.ReadExactlyAsync(bytes, _soon);
        return bytes;
    }

    public async Task<byte[]> ReadToEndAsync()
    {
        using var all = new MemoryStream();
        await _stream.CopyToAsync(all, _soon);
        return all.ToArray();
    }

    /// <summary>Reads a response that has a Content-Length, and returns its body as text.</summary>
    public async Task<string> ReadResponseAsync()
    {
        string head = await ReadHeadAsync();
        string length = head.Split("\r\n").Single(line => line.StartsWith("Content-Length: ", StringComparison.OrdinalIgnoreCase))["Content-Length: ".Length..];
        return Encoding.Latin1.GetString(await ReadExactlyAsync(int.Parse(length, System.Globalization.CultureInfo.InvariantCulture)));
    }

    public async Task LeaveAsync(Departure departure)
    {
        switch (departure)
        {
            case Departure.HalfClose:
                if (_stream is SslStream tls)
                {
                    await tls.ShutdownAsync();
                }

                _socket.Shutdown(SocketShutdown.Send);
                break;
            case Departure.Close:
                _socket.Dispose();
                break;
            default:
                if (_socket.AddressFamily != AddressFamily.Unix)
                {
                    _socket.LingerState = new LingerOption(true, 0);
                }

                _socket.Dispose();
                break;
        }
    }

    public void Dispose() => _socket.Dispose();
}

using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace ByteStreams.Faults.Tests;

/// <summary>
/// A client that sends lines over one connection after another, and checks that what comes back is what it sent, up to where the
/// connection was cut.
/// </summary>
internal sealed class Exchange
{
    /// <summary>Bytes of a connection that is not cut.</summary>
    public const int Bytes = 4 << 20;

    private const int BlockSize = 65536;

    private readonly byte[] _block = new byte[BlockSize];
    private readonly int[] _linesBefore = new int[BlockSize + 1];
    private readonly IncrementalHash _sent = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly IncrementalHash _received = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <param name="number">The client's number; each has lines of its own.</param>
    public Exchange(int number)
    {
        Number = number;
        var random = new Random(number);
        for (int next = 0, i = 0; i < BlockSize; i++)
        {
            bool ends = i == next || i == BlockSize - 1;
            _block[i] = ends ? (byte)'\n' : (byte)random.Next(' ', 127);
            next = ends ? i + random.Next(1, 64) : next;
            _linesBefore[i + 1] = _linesBefore[i] + (ends ? 1 : 0);
        }
    }

    public int Number { get; }

    /// <summary>Lines that came back.</summary>
    public long Messages { get; private set; }

    /// <summary>Connections from which not everything came back.</summary>
    public int Cut { get; private set; }

    /// <summary>Of the bytes that were sent, as far as they came back.</summary>
    public byte[] SentChecksum => _sent.GetCurrentHash();

    public byte[] ReceivedChecksum => _received.GetCurrentHash();

    /// <summary>One connection.</summary>
    public async Task RunAsync(EndPoint endPoint, CancellationToken cancellationToken)
    {
        using var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(endPoint, cancellationToken);
        Task sending = SendAsync(socket, cancellationToken);
        long received = 0;
        byte[] room = new byte[BlockSize];
        try
        {
            while (await socket.ReceiveAsync(room, cancellationToken) is > 0 and int count)
            {
                _received.AppendData(room, 0, count);
                received += count;
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
        }

        await sending;
        for (long position = 0; position < received;)
        {
            int count = (int)Math.Min(BlockSize, received - position);
            _sent.AppendData(_block, 0, count);
            Messages += _linesBefore[count];
            position += count;
        }

        Cut += received < Bytes ? 1 : 0;
    }

    private async Task SendAsync(Socket socket, CancellationToken cancellationToken)
    {
        try
        {
            for (int sent = 0; sent < Bytes;)
            {
                sent += await socket.SendAsync(_block.AsMemory(sent % BlockSize), cancellationToken);
            }

            socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // The relay has cut it; the receiving side sees where.
        }
    }
}

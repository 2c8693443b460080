using System.Buffers.Text;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>
/// A TCP client of a host's endpoint. Lines that start with <c>m </c> are numbered messages, lines that start with <c>=</c> are answers, and other
/// lines are texts.
/// </summary>
internal sealed class Client : IAsyncDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly SemaphoreSlim _sending = new(1);
    private readonly Channel<string> _answers = Channel.CreateUnbounded<string>();
    private readonly Channel<string> _texts = Channel.CreateUnbounded<string>();
    private readonly MessageCallback? _received;
    private Task _reading = Task.CompletedTask;

    private Client(HostProcess host, MessageCallback? received) => (Host, _received) = (host, received);

    /// <summary>Called for each numbered message.</summary>
    public delegate void MessageCallback(int sender, int number, long sentAt, long receivedAt);

    public HostProcess Host { get; }

    /// <summary>The connection's id in the cluster.</summary>
    public string Id { get; private set; } = string.Empty;

    /// <summary>Completes when the connection is closed.</summary>
    public Task Ended => _reading;

    /// <summary>Connects and registers.</summary>
    /// <param name="host">The host.</param>
    /// <param name="registration">The first line.</param>
    /// <param name="received">Called for each numbered message.</param>
    /// <exception cref="IOException">The connection failed.</exception>
    public static async Task<Client> ConnectAsync(HostProcess host, string registration = "register", MessageCallback? received = null)
    {
        Client client = await OpenAsync(host, received);
        try
        {
            client.Id = await client.AskAsync(registration, "=id ");
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>Connects and sends nothing.</summary>
    /// <exception cref="IOException">The connection failed.</exception>
    public static async Task<Client> OpenAsync(HostProcess host, MessageCallback? received = null)
    {
        var client = new Client(host, received);
        try
        {
            await client._socket.ConnectAsync(host.EndPoint);
        }
        catch (SocketException refused)
        {
            client._socket.Dispose();
            throw new IOException(refused.Message, refused);
        }

        client._reading = client.ReadAsync();
        return client;
    }

    public async Task JoinAsync(string group) => await AskAsync($"join {group}", "=joined ");

    /// <summary>Queries the connections of a target.</summary>
    /// <returns><c>complete</c> or <c>incomplete</c>, and the sorted ids.</returns>
    public Task<string> PresenceAsync(string target) => AskAsync($"presence {target}", "=presence ");

    /// <summary>Sends a line and waits for its answer.</summary>
    /// <returns>The answer after its first word.</returns>
    /// <exception cref="IOException">The connection is closed.</exception>
    public async Task<string> AskAsync(string line, string begin)
    {
        await SendAsync(line + '\n');
        return await AnswerAsync(begin);
    }

    /// <summary>Waits for an answer.</summary>
    /// <exception cref="IOException">The connection is closed.</exception>
    public async Task<string> AnswerAsync(string begin)
    {
        try
        {
            string answer = await _answers.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience.Limit);
            Assert.StartsWith(begin, answer, StringComparison.Ordinal);
            return answer[begin.Length..];
        }
        catch (ChannelClosedException)
        {
            throw new IOException("The connection was closed before the answer.");
        }
    }

    /// <summary>Waits for the next text.</summary>
    public async Task<string> TextAsync() =>
        await _texts.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience.Limit);

    /// <summary>Takes the texts received so far.</summary>
    public List<string> Texts()
    {
        var texts = new List<string>();
        while (_texts.Reader.TryRead(out string? text))
        {
            texts.Add(text);
        }

        return texts;
    }

    /// <summary>Sends lines.</summary>
    /// <exception cref="IOException">The connection is closed.</exception>
    public Task SendAsync(string lines) => SendAsync(Encoding.UTF8.GetBytes(lines));

    /// <inheritdoc cref="SendAsync(string)"/>
    public async Task SendAsync(ReadOnlyMemory<byte> lines)
    {
        await _sending.WaitAsync();
        try
        {
            while (lines.Length > 0)
            {
                lines = lines[await _socket.SendAsync(lines, TestContext.Current.CancellationToken)..];
            }
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            throw new IOException(ended.Message, ended);
        }
        finally
        {
            _sending.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await _reading;
    }

    private async Task ReadAsync()
    {
        byte[] buffer = new byte[64 << 10];
        int filled = 0;
        try
        {
            while (true)
            {
                int count = await _socket.ReceiveAsync(buffer.AsMemory(filled));
                if (count == 0)
                {
                    break;
                }

                long now = Stopwatch.GetTimestamp();
                filled += count;
                int begin = 0;
                while (buffer.AsSpan(begin, filled - begin).IndexOf((byte)'\n') is int length and >= 0)
                {
                    Take(buffer.AsSpan(begin, length), now);
                    begin += length + 1;
                }

                buffer.AsSpan(begin, filled - begin).CopyTo(buffer);
                filled -= begin;
            }
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // The connection was reset, or closed by the test.
        }

        _answers.Writer.TryComplete();
        _texts.Writer.TryComplete();
    }

    private void Take(ReadOnlySpan<byte> line, long now)
    {
        if (line.StartsWith("m "u8) && _received is not null)
        {
            ReadOnlySpan<byte> rest = line[2..];
            long sender = Number(ref rest);
            long number = Number(ref rest);
            _received((int)sender, (int)number, Number(ref rest), now);
        }
        else
        {
            (line.StartsWith("="u8) ? _answers : _texts).Writer.TryWrite(Encoding.UTF8.GetString(line));
        }
    }

    private static long Number(ref ReadOnlySpan<byte> rest)
    {
        if (!Utf8Parser.TryParse(rest, out long number, out int length))
        {
            throw new InvalidDataException($"Invalid message: {Encoding.UTF8.GetString(rest)}");
        }

        rest = rest[Math.Min(rest.Length, length + 1)..];
        return number;
    }
}

using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Testing;

/// <summary>
/// The other side of a connection, as a script: it sends literal bytes, expects literal bytes, pauses, half-closes, resets. What
/// comes otherwise than expected, or not in time, is a <see cref="ScriptedPeerException"/> that shows both.
/// </summary>
/// <remarks>For one script at a time. TCP and Unix sockets are used as they are; an <see cref="InMemoryEndPoint"/> is connected to in memory.</remarks>
/// <example>
/// <code>
/// await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(server.EndPoints[0]);
/// await peer.SendAsync("GET key\r"u8);
/// await peer.SendAsync("\n"u8);
/// await peer.ExpectAsync("VALUE 1\r\n"u8);
/// await peer.HalfCloseAsync();
/// await peer.ExpectEndAsync();
/// </code>
/// </example>
public sealed class ScriptedPeer : IAsyncDisposable
{
    private readonly IPeerLink _link;
    private readonly TimeProvider _time;

    private ScriptedPeer(IPeerLink link, TimeProvider? time)
    {
        _link = link;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Takes over a socket that is connected, accepted by the test for example.</summary>
    /// <param name="socket">The socket; it is disposed with the peer.</param>
    /// <param name="timeProvider">The clock of <see cref="Patience"/> and of pauses; null is the system's.</param>
    public ScriptedPeer(Socket socket, TimeProvider? timeProvider = null)
        : this(new SocketPeerLink(socket), timeProvider)
    {
        ArgumentNullException.ThrowIfNull(socket);
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            socket.NoDelay = true;
        }
    }

    /// <summary>How long every step may take, so that a script that does not go on fails and does not hang: 30 s by default, greater than zero.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Connects.</summary>
    /// <param name="endPoint">An <see cref="IPEndPoint"/>, a <see cref="UnixDomainSocketEndPoint"/> or an <see cref="InMemoryEndPoint"/>.</param>
    /// <param name="timeProvider">The clock of <see cref="Patience"/> and of pauses; null is the system's.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The connected peer.</returns>
    /// <exception cref="SocketException">Nobody listens there.</exception>
    public static async Task<ScriptedPeer> ConnectAsync(EndPoint endPoint, TimeProvider? timeProvider = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        if (endPoint is InMemoryEndPoint)
        {
            return new ScriptedPeer(
                new MemoryPeerLink(await ByteStream.OpenConnectionAsync(endPoint, cancellationToken: cancellationToken).ConfigureAwait(false)), timeProvider);
        }

        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(endPoint, cancellationToken).ConfigureAwait(false);
            return new ScriptedPeer(socket, timeProvider);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends bytes; over TCP, in a segment of their own.</summary>
    /// <param name="bytes">The bytes, copied.</param>
    /// <param name="cancellationToken">Ends the wait; a part may have been sent.</param>
    /// <returns>When the system has taken them.</returns>
    /// <exception cref="ScriptedPeerException">The connection was reset, or the other side has taken too little within <see cref="Patience"/>.</exception>
    public Task SendAsync(ReadOnlySpan<byte> bytes, CancellationToken cancellationToken = default)
    {
        byte[] copy = bytes.ToArray();
        return StepAsync(
            token => _link.SendAsync(copy, token),
            error => new ScriptedPeerException($"{ByteText.Of(copy)} could not be sent: {Why(error)}.", null, [], error),
            cancellationToken);
    }

    /// <summary>Expects that exactly these bytes come next, in whatever pieces. Further ones stay for the next step.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When they have come.</returns>
    /// <exception cref="ScriptedPeerException">Others came, or the end, or a reset, or nothing within <see cref="Patience"/>.</exception>
    public Task ExpectAsync(ReadOnlySpan<byte> bytes, CancellationToken cancellationToken = default)
    {
        byte[] expected = bytes.ToArray();
        byte[] received = new byte[expected.Length];
        int count = 0;
        return StepAsync(ReceiveAsync, Failed, cancellationToken);

        async Task ReceiveAsync(CancellationToken token)
        {
            while (count < expected.Length)
            {
                int more = await _link.ReceiveAsync(received.AsMemory(count), token).ConfigureAwait(false);
                count += more;
                if (more == 0 || !received.AsSpan(0, count).SequenceEqual(expected.AsSpan(0, count)))
                {
                    throw Failed(null);
                }
            }
        }

        ScriptedPeerException Failed(Exception? error)
        {
            ReadOnlySpan<byte> came = received.AsSpan(0, count);
            string then = error is not null ? $" and then {Why(error)}" : expected.AsSpan().StartsWith(came) ? " and then the end" : string.Empty;
            return new ScriptedPeerException($"Expected {ByteText.Of(expected)}; received {ByteText.Of(came)}{then}.", expected, came.ToArray(), error);
        }
    }

    /// <summary>Expects the end of the other side's direction, and no byte before it.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it has come.</returns>
    /// <exception cref="ScriptedPeerException">A byte came, or a reset, or nothing within <see cref="Patience"/>.</exception>
    public Task ExpectEndAsync(CancellationToken cancellationToken = default)
    {
        return StepAsync(ReceiveAsync, error => Unexpected("the end", [], error), cancellationToken);

        async Task ReceiveAsync(CancellationToken token)
        {
            byte[] room = new byte[4096];
            if (await _link.ReceiveAsync(room, token).ConfigureAwait(false) is > 0 and int count)
            {
                throw Unexpected("the end", room[..count], null);
            }
        }
    }

    /// <summary>Expects that the other side resets the connection; bytes before it are skipped, since a reset may overtake or destroy them.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it has come.</returns>
    /// <exception cref="ScriptedPeerException">The end came, or nothing within <see cref="Patience"/>.</exception>
    public Task ExpectResetAsync(CancellationToken cancellationToken = default)
    {
        return StepAsync(ReceiveAsync, error => Unexpected("a reset", [], error), cancellationToken);

        async Task ReceiveAsync(CancellationToken token)
        {
            byte[] room = new byte[4096];
            try
            {
                while (await _link.ReceiveAsync(room, token).ConfigureAwait(false) > 0)
                {
                }
            }
            catch (ConnectionResetException)
            {
                return;
            }

            throw Unexpected("a reset", [], null);
        }
    }

    /// <summary>Receives whatever comes up to the end.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The bytes.</returns>
    /// <exception cref="ScriptedPeerException">A reset came, or the end did not come within <see cref="Patience"/>.</exception>
    public async Task<byte[]> ReceiveToEndAsync(CancellationToken cancellationToken = default)
    {
        var received = new MemoryStream();
        await StepAsync(ReceiveAsync, error => Unexpected("the end", received.ToArray(), error), cancellationToken).ConfigureAwait(false);
        return received.ToArray();

        async Task ReceiveAsync(CancellationToken token)
        {
            byte[] room = new byte[65536];
            while (await _link.ReceiveAsync(room, token).ConfigureAwait(false) is > 0 and int count)
            {
                received.Write(room, 0, count);
            }
        }
    }

    /// <summary>Does nothing for a while, on the peer's clock.</summary>
    /// <param name="time">How long; zero or more.</param>
    /// <param name="cancellationToken">Ends the pause.</param>
    /// <returns>When it is over.</returns>
    public Task PauseAsync(TimeSpan time, CancellationToken cancellationToken = default) => Task.Delay(time, _time, cancellationToken);

    /// <summary>Ends this side's direction; the other side's can still be received.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When the end is sent.</returns>
    /// <exception cref="ScriptedPeerException">The connection was reset before.</exception>
    public Task HalfCloseAsync(CancellationToken cancellationToken = default) =>
        StepAsync(_link.HalfCloseAsync, error => new ScriptedPeerException($"The end could not be sent: {Why(error)}.", null, [], error), cancellationToken);

    /// <summary>
    /// Resets the connection, as a peer does that crashes. Over a Unix socket the other side sees a reset only where bytes that it had
    /// sent were not received here.
    /// </summary>
    public void Reset() => _link.Reset();

    /// <summary>Closes the connection, cleanly where everything was received.</summary>
    /// <returns>When it is closed.</returns>
    public ValueTask DisposeAsync() => _link.DisposeAsync();

    private static ScriptedPeerException Unexpected(string expected, byte[] received, Exception? error) =>
        new($"Expected {expected}; received {(received.Length > 0 ? ByteText.Of(received) : error is null ? "the end" : Why(error))}.", null, received, error);

    private static string Why(Exception error) => error switch
    {
        TimeoutException => error.Message,
        ConnectionResetException => "a reset",
        _ => error.Message,
    };

    private async Task StepAsync(Func<CancellationToken, Task> step, Func<Exception, Exception> failed, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(Patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await step(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw failed(new TimeoutException($"nothing for {Patience.TotalSeconds:0.###} s"));
        }
        catch (ConnectionResetException reset)
        {
            throw failed(reset);
        }
    }
}

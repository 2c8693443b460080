using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Testing;

/// <summary>
/// Stands between a client and a server, and does to their connections what networks do: splits, delays, coalesces, stalls, resets,
/// half-closes, drops a direction. What it does is made from a seed or told by a plan, and counts bytes, so that a run can be repeated.
/// </summary>
/// <remarks>
/// It works on plain sockets and shares no code with the transports that it tests. TLS goes through as the bytes that it is. The end of a
/// direction and resets are carried across. Each connection takes two descriptors and two buffers of 64 KiB.
/// </remarks>
/// <example>
/// <code>
/// await using ChaosRelay relay = await ChaosRelay.StartAsync(server.EndPoints[0], new ChaosOptions { Seed = 7, MaxPiece = 3 });
/// await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(relay.EndPoint);
/// </code>
/// </example>
public sealed class ChaosRelay : IAsyncDisposable
{
    private readonly EndPoint _upstream;
    private readonly Socket _listener;
    private readonly ChaosPlan _plan;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<Task, byte> _running = new();
    private readonly int[] _performed = new int[Enum.GetValues<ChaosAction>().Length];
    private readonly Task _accepting;
    private readonly string? _path;
    private int _accepted;
    private int _unreachable;
    private int _open;

    private ChaosRelay(EndPoint upstream, Socket listener, ChaosOptions options)
    {
        _upstream = upstream;
        _listener = listener;
        _plan = options.Resolve();
        _time = options.TimeProvider;
        Seed = options.Seed;
        EndPoint = listener.LocalEndPoint!;
        _path = EndPoint is UnixDomainSocketEndPoint ? EndPoint.ToString() : null;
        _accepting = AcceptAsync();
    }

    /// <summary>Where the relay listens: clients connect here.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>The seed of this run, for the next one.</summary>
    public int Seed { get; }

    /// <summary>Connections accepted so far.</summary>
    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Connections that are open.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Connections that were reset because the upstream could not be connected to.</summary>
    public int Unreachable => Volatile.Read(ref _unreachable);

    /// <summary>Starts a relay.</summary>
    /// <param name="upstream">Where connections are passed on to: an <see cref="IPEndPoint"/> or a <see cref="UnixDomainSocketEndPoint"/>.</param>
    /// <param name="options">What it does to them. Null takes every default: pieces of random sizes.</param>
    /// <param name="listen">Where to listen; null is a free port on 127.0.0.1. The file of a Unix socket is removed at the end.</param>
    /// <returns>The relay. Disposing it resets what is open.</returns>
    /// <exception cref="ArgumentException">Options contradict each other, or an endpoint is of another kind; the message says which.</exception>
    /// <exception cref="SocketException">The relay cannot listen there.</exception>
    public static Task<ChaosRelay> StartAsync(EndPoint upstream, ChaosOptions? options = null, EndPoint? listen = null)
    {
        ArgumentNullException.ThrowIfNull(upstream);
        listen ??= new IPEndPoint(IPAddress.Loopback, 0);
        Check(upstream, nameof(upstream));
        Check(listen, nameof(listen));
        options ??= new ChaosOptions();
        options.Validate();
        Socket listener = NewSocket(listen);
        try
        {
            listener.Bind(listen);
            listener.Listen(4096);
            return Task.FromResult(new ChaosRelay(upstream, listener, options));
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }

    /// <summary>How often an action was performed so far.</summary>
    /// <param name="action">The action.</param>
    /// <returns>The number, over all connections and both directions.</returns>
    public int Count(ChaosAction action) => Volatile.Read(ref _performed[(int)action]);

    /// <summary>The address and the seed, which belong into the message of a test that fails.</summary>
    /// <returns>Such as <c>ChaosRelay 127.0.0.1:4711 -> 127.0.0.1:80, seed 7</c>.</returns>
    public override string ToString() => $"ChaosRelay {EndPoint} -> {_upstream}, seed {Seed}";

    /// <summary>Stops listening, resets every connection, and waits until all are gone.</summary>
    /// <returns>When nothing of the relay is left.</returns>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        if (_path is not null)
        {
            File.Delete(_path);
        }

        await _accepting.ConfigureAwait(false);
        await Task.WhenAll(_running.Keys).ConfigureAwait(false);
        _stopping.Dispose();
    }

    internal void Performed(ChaosAction action) => Interlocked.Increment(ref _performed[(int)action]);

    internal static Socket NewSocket(EndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        if (endPoint is IPEndPoint)
        {
            // Each piece is a segment of its own.
            socket.NoDelay = true;
        }

        return socket;
    }

    private static void Check(EndPoint endPoint, string name)
    {
        if (endPoint is not (IPEndPoint or UnixDomainSocketEndPoint))
        {
            throw new ArgumentException($"The relay works on sockets; {endPoint} ({endPoint.GetType().Name}) is neither an IPEndPoint nor a UnixDomainSocketEndPoint.", name);
        }
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptAsync(_stopping.Token).ConfigureAwait(false);
            }
            catch (Exception ended) when (_stopping.IsCancellationRequested && ended is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }

            Task serving = ServeAsync(client, _accepted++);
            _running.TryAdd(serving, 0);
            _ = serving.ContinueWith(done => _running.TryRemove(done, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private async Task ServeAsync(Socket client, int number)
    {
        Interlocked.Increment(ref _open);
        Socket upstream = NewSocket(_upstream);
        try
        {
            try
            {
                await upstream.ConnectAsync(_upstream, _stopping.Token).ConfigureAwait(false);
            }
            catch (Exception failed) when (failed is SocketException or OperationCanceledException)
            {
                Interlocked.Increment(ref _unreachable);
                client.LingerState = new LingerOption(true, 0);
                return;
            }

            if (client.AddressFamily != AddressFamily.Unix)
            {
                client.NoDelay = true;
            }

            await new ChaosLink(this, client, upstream, _time, _stopping.Token)
                .RunAsync(_plan(number, ChaosDirection.ToUpstream), _plan(number, ChaosDirection.ToClient)).ConfigureAwait(false);
        }
        finally
        {
            client.Dispose();
            upstream.Dispose();
            Interlocked.Decrement(ref _open);
        }
    }
}

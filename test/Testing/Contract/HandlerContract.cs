using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Testing;

/// <summary>
/// What every handler must stand, whatever its protocol: bytes that come in other pieces than they were sent in, peers that leave or
/// reset at any byte, that end their direction, that do not read, and a server that stops.
/// </summary>
/// <remarks>
/// The handler is served on a socket of its own for each case. A handler that keeps what it is given when it was started (a chat)
/// should be given anew: see the constructor. For any test framework: each name in <see cref="Cases"/> is a test.
/// </remarks>
/// <example>
/// <code>
/// var contract = new HandlerContract(new Shout().OnConnectedAsync, request: "hello\n"u8.ToArray(), reply: "HELLO\n"u8.ToArray());
/// foreach (string name in HandlerContract.Cases)
/// {
///     await contract.RunAsync(name);
/// }
/// </code>
/// </example>
public sealed class HandlerContract
{
    /// <summary>A longer request is cut at so many places, spread over it, since each costs a connection.</summary>
    private const int MostCuts = 64;

    private static readonly ContractCases<HandlerContract> All = new(
        (nameof(Request_Whole_IsAnswered), (contract, soon) => contract.Request_Whole_IsAnswered(soon)),
        (nameof(Request_ByteByByte_IsAnswered), (contract, soon) => contract.Request_ByteByByte_IsAnswered(soon)),
        (nameof(Request_CutInTwo_IsAnswered), (contract, soon) => contract.Request_CutInTwo_IsAnswered(soon)),
        (nameof(Request_ThroughChaos_IsAnswered), (contract, soon) => contract.Request_ThroughChaos_IsAnswered(soon)),
        (nameof(Requests_Pipelined_AreAnsweredInOrder), (contract, soon) => contract.Requests_Pipelined_AreAnsweredInOrder(soon)),
        (nameof(Peer_EndsBehindItsRequest_StillGetsTheReply), (contract, soon) => contract.Peer_EndsBehindItsRequest_StillGetsTheReply(soon)),
        (nameof(Peer_EndsWithinItsRequest_HandlerReturns), (contract, soon) => contract.Peer_EndsWithinItsRequest_HandlerReturns(soon)),
        (nameof(Peer_ResetsWithinItsRequest_HandlerReturns), (contract, soon) => contract.Peer_ResetsWithinItsRequest_HandlerReturns(soon)),
        (nameof(Peer_NeverReads_IsPausedAndHandlerReturnsWhenItLeaves), (contract, soon) => contract.Peer_NeverReads_IsPausedAndHandlerReturnsWhenItLeaves(soon)),
        (nameof(Server_Stops_HandlerReturns), (contract, soon) => contract.Server_Stops_HandlerReturns(soon)));

    private readonly ByteStreamDelegate _handler;
    private readonly byte[] _request;
    private readonly byte[] _reply;
    private readonly Action<ByteStreamServerOptions>? _configure;

    /// <summary>Says what is tested, by one request and its reply.</summary>
    /// <param name="handler">The handler, as a server takes it.</param>
    /// <param name="request">A whole request, at least one byte. It may be sent several times over one connection.</param>
    /// <param name="reply">Exactly what the handler writes to it.</param>
    /// <param name="configure">The server's options, where the handler needs others: its limit, middleware around it.</param>
    /// <exception cref="ArgumentException">The request is empty.</exception>
    public HandlerContract(
        ByteStreamDelegate handler, ReadOnlyMemory<byte> request, ReadOnlyMemory<byte> reply, Action<ByteStreamServerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        if (request.IsEmpty)
        {
            throw new ArgumentException("The request has at least one byte.", nameof(request));
        }

        (_handler, _request, _reply, _configure) = (handler, request.ToArray(), reply.ToArray(), configure);
    }

    /// <summary>The names of the cases.</summary>
    public static IReadOnlyList<string> Cases => All.Names;

    /// <summary>How long a case may take: 30 s by default, greater than zero.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Runs one case.</summary>
    /// <param name="name">One of <see cref="Cases"/>.</param>
    /// <param name="cancellationToken">Ends the case.</param>
    /// <returns>When the case has passed.</returns>
    /// <exception cref="ContractException">It has not; the message says what was expected and what was seen.</exception>
    /// <exception cref="ArgumentException">There is no such case.</exception>
    public Task RunAsync(string name, CancellationToken cancellationToken = default) => All.RunAsync(this, name, Patience, cancellationToken);

    private async Task Request_Whole_IsAnswered(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        await peer.SendAsync(_request, soon).ConfigureAwait(false);
        await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
    }

    private async Task Request_ByteByByte_IsAnswered(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        await served.UntilBegunAsync(1, soon).ConfigureAwait(false);
        // A byte has arrived before the next one is sent; behind the first hundred that would only take time.
        int alone = Math.Min(_request.Length, 100);
        for (int i = 0; i < alone; i++)
        {
            await peer.SendAsync(_request.AsSpan(i, 1), soon).ConfigureAwait(false);
            while (served.BytesReceived <= i)
            {
                await Task.Delay(1, soon).ConfigureAwait(false);
            }
        }

        await peer.SendAsync(_request.AsSpan(alone), soon).ConfigureAwait(false);
        await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
    }

    private async Task Request_CutInTwo_IsAnswered(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        foreach (int cut in Cuts())
        {
            ChaosPlan plan = (_, direction) => direction == ChaosDirection.ToUpstream ? [new ChaosStep(cut, ChaosAction.Pause, TimeSpan.FromMilliseconds(5))] : [];
            await using ChaosRelay relay = await ChaosRelay.StartAsync(served.EndPoint, new ChaosOptions { Plan = plan }).ConfigureAwait(false);
            await using ScriptedPeer peer = await ConnectAsync(relay.EndPoint, soon).ConfigureAwait(false);
            await peer.SendAsync(_request, soon).ConfigureAwait(false);
            await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
        }
    }

    private async Task Request_ThroughChaos_IsAnswered(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        for (int seed = 0; seed < 20; seed++)
        {
            var options = new ChaosOptions
            {
                Seed = seed,
                MaxPiece = Math.Max(2, _request.Length / 3),
                PauseChance = 0.2,
                MaxPause = TimeSpan.FromMilliseconds(3),
                CoalesceChance = 0.3,
                Hold = TimeSpan.FromMilliseconds(3),
            };
            await using ChaosRelay relay = await ChaosRelay.StartAsync(served.EndPoint, options).ConfigureAwait(false);
            await using ScriptedPeer peer = await ConnectAsync(relay.EndPoint, soon).ConfigureAwait(false);
            for (int i = 0; i < 3; i++)
            {
                await peer.SendAsync(_request, soon).ConfigureAwait(false);
                await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
            }
        }
    }

    private async Task Requests_Pipelined_AreAnsweredInOrder(CancellationToken soon)
    {
        const int Count = 100;
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        Task sending = peer.SendAsync(Enumerable.Repeat(_request, Count).SelectMany(bytes => bytes).ToArray(), soon);
        for (int i = 0; i < Count; i++)
        {
            await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
        }

        await sending.ConfigureAwait(false);
    }

    private async Task Peer_EndsBehindItsRequest_StillGetsTheReply(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        await peer.SendAsync(_request, soon).ConfigureAwait(false);
        await peer.HalfCloseAsync(soon).ConfigureAwait(false);
        await peer.ExpectAsync(_reply, soon).ConfigureAwait(false);
        await served.UntilReturnedAsync(1, soon).ConfigureAwait(false);
    }

    private async Task Peer_EndsWithinItsRequest_HandlerReturns(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        int ended = 0;
        foreach (int cut in Cuts())
        {
            await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
            await peer.SendAsync(_request.AsSpan(0, cut), soon).ConfigureAwait(false);
            await peer.HalfCloseAsync(soon).ConfigureAwait(false);
            await served.UntilReturnedAsync(++ended, soon).ConfigureAwait(false);
        }
    }

    private async Task Peer_ResetsWithinItsRequest_HandlerReturns(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        int ended = 0;
        foreach (int cut in Cuts())
        {
            await using ScriptedPeer peer = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
            await served.UntilBegunAsync(ended + 1, soon).ConfigureAwait(false);
            await peer.SendAsync(_request.AsSpan(0, cut), soon).ConfigureAwait(false);
            peer.Reset();
            await served.UntilReturnedAsync(++ended, soon).ConfigureAwait(false);
        }
    }

    private async Task Peer_NeverReads_IsPausedAndHandlerReturnsWhenItLeaves(CancellationToken soon)
    {
        // What a socket's buffers may hold in both directions and the handler's besides, many times over.
        const long Most = 32 << 20;
        // Shorter ones happen to a busy machine: a handler that only had no processor would pass for one that waits.
        TimeSpan pause = TimeSpan.FromSeconds(2);
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        using var socket = new Socket(served.EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        socket.ReceiveBufferSize = socket.SendBufferSize = 65536;
        await socket.ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        byte[] requests = [.. Enumerable.Repeat(_request, Math.Max(1, 65536 / _request.Length)).SelectMany(bytes => bytes)];
        for (long sent = 0; _reply.Length > 0;)
        {
            Task<int> sending = socket.SendAsync(requests, soon).AsTask();
            long before = -1;
            while (await Task.WhenAny(sending, Task.Delay(pause, soon)).ConfigureAwait(false) != sending && before != served.BytesReceived)
            {
                before = served.BytesReceived;
            }

            if (!sending.IsCompleted)
            {
                break;
            }

            sent += await sending.ConfigureAwait(false);
            if (sent > Most)
            {
                throw new ContractException($"a peer that reads no reply could send {sent:N0} bytes: the handler reads on although its replies are not taken. Await DrainAsync between them.");
            }
        }

        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
        await served.UntilReturnedAsync(1, soon).ConfigureAwait(false);
    }

    private async Task Server_Stops_HandlerReturns(CancellationToken soon)
    {
        await using Served served = await ServeAsync(soon).ConfigureAwait(false);
        await using ScriptedPeer idle = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        await using ScriptedPeer within = await ConnectAsync(served.EndPoint, soon).ConfigureAwait(false);
        await within.SendAsync(_request.AsSpan(0, _request.Length / 2), soon).ConfigureAwait(false);
        await served.UntilBegunAsync(2, soon).ConfigureAwait(false);
        await served.StopAsync().ConfigureAwait(false);
        await served.UntilReturnedAsync(2, soon).ConfigureAwait(false);
    }

    /// <summary>Where the request is cut: at every byte, or at places spread over it.</summary>
    private IEnumerable<int> Cuts()
    {
        int count = Math.Min(_request.Length, MostCuts);
        return Enumerable.Range(0, count).Select(i => (int)((long)i * _request.Length / count));
    }

    private static Task<ScriptedPeer> ConnectAsync(EndPoint endPoint, CancellationToken soon) => ScriptedPeer.ConnectAsync(endPoint, cancellationToken: soon);

    private async Task<Served> ServeAsync(CancellationToken soon)
    {
        var served = new Served(_handler);
        var options = new ByteStreamServerOptions { LingerTimeout = TimeSpan.FromMilliseconds(200) };
        _configure?.Invoke(options);
        await served.StartAsync(options, soon).ConfigureAwait(false);
        return served;
    }

    /// <summary>The handler on a server, and who of its calls has begun and returned.</summary>
    private sealed class Served(ByteStreamDelegate handler) : IAsyncDisposable
    {
        private readonly SemaphoreSlim _changed = new(0);
        private readonly CancellationTokenSource _stop = new();
        private ByteStreamServer? _server;
        private IByteStreamTransportFeature? _first;
        private int _begun;
        private int _returned;

        public EndPoint EndPoint { get; private set; } = null!;

        public async Task StartAsync(ByteStreamServerOptions options, CancellationToken soon)
        {
            _server = await ByteStream.StartServerAsync(RunAsync, new IPEndPoint(IPAddress.Loopback, 0), options, soon).ConfigureAwait(false);
            EndPoint = _server.EndPoints[0];
        }

        /// <summary>What has come from the first peer.</summary>
        public long BytesReceived => Volatile.Read(ref _first)?.BytesReceived ?? 0;

        public Task UntilBegunAsync(int count, CancellationToken soon) => UntilAsync(() => Volatile.Read(ref _begun) >= count, soon);

        public Task UntilReturnedAsync(int count, CancellationToken soon) => UntilAsync(() => Volatile.Read(ref _returned) >= count, soon);

        /// <summary>As a host does it: nobody new, and the handlers are told.</summary>
        public Task StopAsync()
        {
            _server!.Close();
            return _stop.CancelAsync();
        }

        public async ValueTask DisposeAsync()
        {
            await StopAsync().ConfigureAwait(false);
            _server!.AbortClients();
            // A handler that does not end even now has been told of by its case.
            await _server.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        private async Task RunAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            Interlocked.CompareExchange(ref _first, writer.Transport?.Features.Get<IByteStreamTransportFeature>(), null);
            Interlocked.Increment(ref _begun);
            _changed.Release();
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping, _stop.Token);
            try
            {
                await handler(reader, writer, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                // The way most handlers stop.
            }
            finally
            {
                Interlocked.Increment(ref _returned);
                _changed.Release();
            }
        }

        private async Task UntilAsync(Func<bool> condition, CancellationToken soon)
        {
            while (!condition())
            {
                await _changed.WaitAsync(soon).ConfigureAwait(false);
            }
        }
    }
}

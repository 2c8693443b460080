using System.Diagnostics.CodeAnalysis;
using ByteStreams.Hosting;
using ByteStreams.Transport.Epoll;

namespace ByteStreams;

/// <summary>The running servers of the application's endpoints, by name, and their common end; a service to ask for. Empty before the host has started.</summary>
/// <remarks>All members may be called from any thread.</remarks>
public sealed class ByteStreamServers
{
    private volatile IReadOnlyDictionary<string, ByteStreamServer> _running =
        new Dictionary<string, ByteStreamServer>(StringComparer.OrdinalIgnoreCase);

    private volatile ByteStreamsService? _service;
    private volatile ByteStreamsState _state;
    private volatile IReadOnlyList<EndpointPlan> _plans = [];

    internal ByteStreamServers()
    {
    }

    /// <summary>The names of the endpoints, in the order in which they were added.</summary>
    public IEnumerable<string> Names => _running.Keys;

    /// <summary>How far the endpoints are in their life.</summary>
    public ByteStreamsState State => _state;

    /// <summary>The server of an endpoint.</summary>
    /// <param name="name">The endpoint's name, in any case.</param>
    /// <exception cref="KeyNotFoundException">There is no such endpoint, or the host has not started.</exception>
    public ByteStreamServer this[string name] => TryGet(name, out ByteStreamServer? server)
        ? server
        : throw new KeyNotFoundException($"No endpoint '{name}' is running. Running are: {string.Join(", ", Names)}.");

    /// <summary>The server of an endpoint, if it is running.</summary>
    /// <param name="name">The endpoint's name, in any case.</param>
    /// <param name="server">The server.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGet(string name, [NotNullWhen(true)] out ByteStreamServer? server) => _running.TryGetValue(name, out server);

    /// <summary>
    /// Ends the endpoints, as the host does when it stops: <see cref="State"/> is <see cref="ByteStreamsState.Draining"/> at once, and the
    /// health check fails; listeners stay open for <c>DrainDelay</c>, then no client is accepted any more and the handlers are told;
    /// those that have not returned within <c>DrainTimeout</c> are aborted. The application runs on. Called again, it is the same drain.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    /// <returns>How it went, when it is over.</returns>
    /// <exception cref="InvalidOperationException">The endpoints have not started.</exception>
    public Task<DrainReport> DrainAsync(CancellationToken cancellationToken = default) => Service.DrainAsync(abort: false).WaitAsync(cancellationToken);

    /// <summary>Ends the endpoints without waiting for anybody: connections are aborted. A drain that is at work is over by it.</summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    /// <returns>How it went, within a second.</returns>
    /// <exception cref="InvalidOperationException">The endpoints have not started.</exception>
    public Task<DrainReport> AbortAsync(CancellationToken cancellationToken = default) => Service.DrainAsync(abort: true).WaitAsync(cancellationToken);

    private ByteStreamsService Service => _service ?? throw new InvalidOperationException("The endpoints have not started; there is nothing to end.");

    /// <summary>Takes the configuration over as it is now, and looks at the certificates' files.</summary>
    /// <param name="read">Reads the sources anew.</param>
    internal Task<ReloadReport> ReloadAsync(Action read) => Service.ReloadAsync(read);

    /// <summary>Whether no event loop stands still for all of the time while somebody waits for it.</summary>
    internal static async Task<bool> AnswersAsync(TimeSpan within, TimeProvider time, CancellationToken cancellationToken)
    {
        (EventLoop Loop, long Place)[] before = [.. EventLoopGroup.All.Select(loop => (loop, loop.Place))];
        await Task.Delay(within, time, cancellationToken).ConfigureAwait(false);
        return !before.Any(seen => seen.Loop.IsStuckAt(seen.Place));
    }

    /// <summary>Told of each new state, before anything else is done about it. It must not wait.</summary>
    internal event Action<ByteStreamsState>? Advanced;

    internal void Advance(ByteStreamsState state)
    {
        _state = state;
        Advanced?.Invoke(state);
    }

    internal void RunBy(ByteStreamsService service) => _service = service;

    /// <summary>What an endpoint runs by; null where it does not run.</summary>
    internal EndpointPlan? Plan(string name) => _plans.FirstOrDefault(plan => plan.IsNamed(name));

    internal void Set(IReadOnlyCollection<(EndpointPlan Plan, ByteStreamServer Server)> running)
    {
        _plans = [.. running.Select(endpoint => endpoint.Plan)];
        _running = running.ToDictionary(endpoint => endpoint.Plan.Name, endpoint => endpoint.Server, StringComparer.OrdinalIgnoreCase);
    }
}

using System.Diagnostics.CodeAnalysis;
using ByteStreams.Hosting;
using ByteStreams.Transport.Epoll;

namespace ByteStreams;

/// <summary>The running servers of the application's endpoints by name, and their drain; a service. Empty before the host has started.</summary>
/// <remarks>All members may be called from any thread.</remarks>
public sealed class ByteStreamServers
{
    private volatile IReadOnlyDictionary<string, ByteStreamServer> _running =
        new Dictionary<string, ByteStreamServer>(StringComparer.OrdinalIgnoreCase);

    private volatile ByteStreamsService? _service;
    private volatile ByteStreamsState _state;
    private volatile IReadOnlyList<EndpointDefinition> _definitions = [];

    internal ByteStreamServers()
    {
    }

    /// <summary>The names of the endpoints, in the order in which they were added.</summary>
    public IEnumerable<string> Names => _running.Keys;

    /// <summary>The state of the endpoints.</summary>
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
    /// Drains the endpoints, as the host does when it stops. <see cref="State"/> is <see cref="ByteStreamsState.Draining"/> at once, and the
    /// health check fails. Listeners stay open for <c>DrainDelay</c>; then they close, and the handlers' <c>stopping</c> token is canceled.
    /// Connections whose handlers have not returned within <c>DrainTimeout</c> are aborted. The application keeps running. Later calls join the
    /// same drain.
    /// </summary>
    /// <param name="cancellationToken">Cancels the wait, and not the drain.</param>
    /// <returns>The result of the drain, when it is complete.</returns>
    /// <exception cref="InvalidOperationException">The endpoints have not started.</exception>
    public Task<DrainReport> DrainAsync(CancellationToken cancellationToken = default) => Service.DrainAsync(abort: false).WaitAsync(cancellationToken);

    /// <summary>Aborts all connections and closes the endpoints. It completes a drain in progress.</summary>
    /// <param name="cancellationToken">Cancels the wait, and not the drain.</param>
    /// <returns>The result, within a second.</returns>
    /// <exception cref="InvalidOperationException">The endpoints have not started.</exception>
    public Task<DrainReport> AbortAsync(CancellationToken cancellationToken = default) => Service.DrainAsync(abort: true).WaitAsync(cancellationToken);

    private ByteStreamsService Service => _service ?? throw new InvalidOperationException("The endpoints have not started.");

    /// <summary>
    /// Applies the configuration as it is now, and reads the certificate files again. Connections that are open keep their settings. A
    /// configuration with errors changes nothing.
    /// </summary>
    /// <param name="read">Reads the configuration's sources again, such as <c>IConfigurationRoot.Reload</c>. Its exceptions are thrown, and nothing changes.</param>
    /// <param name="cancellationToken">Cancels the wait, and not the reload.</param>
    /// <returns>What changed, or the errors. Concurrent calls are allowed; they run one after the other.</returns>
    /// <exception cref="InvalidOperationException">The endpoints have not started.</exception>
    /// <exception cref="OperationCanceledException">The token was canceled, or the endpoints are stopping.</exception>
    public Task<ReloadReport> ReloadAsync(Action read, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(read);
        cancellationToken.ThrowIfCancellationRequested();
        return Service.ReloadAsync(read).WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Records that the configuration's sources could not be read, for the metrics about the last reload and <see cref="ByteStreamMonitor.LastReload"/>.
    /// Before the host has started it has no effect.
    /// </summary>
    /// <param name="reason">The cause.</param>
    public void ReportUnreadableConfiguration(string reason)
    {
        ArgumentNullException.ThrowIfNull(reason);
        _service?.RecordUnreadable(reason);
    }

    /// <summary>Whether every event loop of the process with waiting work makes progress; for watchdogs.</summary>
    /// <param name="within">The time within which a loop has to make progress; the call takes as long.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <returns>False if a loop with waiting work made no progress at all.</returns>
    public static async Task<bool> AreEventLoopsResponsiveAsync(TimeSpan within, TimeProvider time, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(time);
        (EventLoop Loop, long Place)[] before = [.. EventLoopGroup.All.Select(loop => (loop, loop.Place))];
        await Task.Delay(within, time, cancellationToken).ConfigureAwait(false);
        return !before.Any(seen => seen.Loop.IsStuckAt(seen.Place));
    }

    /// <summary>Raised with each new <see cref="State"/>, before anything else happens because of it. A handler must not block or throw.</summary>
    public event Action<ByteStreamsState>? StateChanged;

    /// <summary>
    /// The number of descriptors that the process may have open, which bounds its connections: the limit at the start of the process
    /// (<c>ulimit -n</c>); <see cref="long.MaxValue"/> if there is none.
    /// </summary>
    public static long DescriptorLimit => Transport.DescriptorLimit.Process.Most;

    internal void Advance(ByteStreamsState state)
    {
        _state = state;
        StateChanged?.Invoke(state);
    }

    internal void RunBy(ByteStreamsService service) => _service = service;

    /// <summary>The definition of a running endpoint; null if it does not run.</summary>
    internal EndpointDefinition? GetDefinition(string name) => _definitions.FirstOrDefault(definition => definition.IsNamed(name));

    internal void Set(IReadOnlyCollection<(EndpointDefinition Definition, ByteStreamServer Server)> running)
    {
        _definitions = [.. running.Select(endpoint => endpoint.Definition)];
        _running = running.ToDictionary(endpoint => endpoint.Definition.Name, endpoint => endpoint.Server, StringComparer.OrdinalIgnoreCase);
    }
}

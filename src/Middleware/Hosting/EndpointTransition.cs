using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Server;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Hosting;

/// <summary>
/// The transition from the running endpoints to the defined ones. <see cref="PrepareAsync"/> does everything that can fail while the running
/// endpoints continue; <see cref="Commit"/> only moves listeners between servers. Disposal without a commit restores the previous state.
/// </summary>
/// <param name="running">The running endpoints; none at the start.</param>
/// <param name="definitions">The defined endpoints.</param>
internal sealed class EndpointTransition(IReadOnlyList<RunningEndpoint> running, IReadOnlyList<EndpointDefinition> definitions) : IAsyncDisposable
{
    private readonly List<Step> _steps = [];
    private readonly List<Leftover> _leftovers = [];
    private readonly List<Action> _undo = [];
    private readonly List<SocketListener> _shared = [];
    private bool _isCommitted;

    /// <summary>The new endpoints.</summary>
    public IReadOnlyList<EndpointDefinition> Added => [.. _steps.Where(step => step.Before is null).Select(step => step.Definition)];

    /// <summary>The endpoints with other settings.</summary>
    public IReadOnlyList<EndpointDefinition> Changed => [.. _steps.Where(step => step is { Before: not null, IsUnchanged: false }).Select(step => step.Definition)];

    /// <summary>The endpoints that are removed.</summary>
    public IReadOnlyList<RunningEndpoint> Removed => [.. running.Where(endpoint => !definitions.Any(definition => definition.IsNamed(endpoint.Definition.Name)))];

    /// <summary>The endpoints that are new or have another URL.</summary>
    public IReadOnlyList<EndpointDefinition> Moved =>
        [.. _steps.Where(step => step.Before is null || step.Before.Definition.Url != step.Definition.Url).Select(step => step.Definition)];

    /// <summary>The servers that lose their listeners; their connections continue.</summary>
    public IReadOnlyList<ByteStreamServer> Retired =>
        [.. _steps.Where(step => step is { Server: not null, Before: not null }).Select(step => step.Before!.Server)];

    /// <summary>Binds new listeners, changes those that are handed over, and builds the pipelines.</summary>
    /// <param name="errors">Receives one line for each error: the key, the cause, the remedy. With errors, no new listener is opened.</param>
    /// <param name="cancellationToken">Cancels the resolving of host names.</param>
    public async Task PrepareAsync(ICollection<string> errors, CancellationToken cancellationToken)
    {
        foreach (EndpointDefinition definition in definitions)
        {
            _steps.Add(await ClassifyAsync(definition, errors, cancellationToken).ConfigureAwait(false));
        }

        IReadOnlySet<EndpointDefinition> disputed = EndpointOverlaps.Find([.. _steps.SelectMany(step => step.Addresses.Select(address => (step.Definition, address.Address)))], errors);
        if (running.Count > 0 && errors.Count > 0)
        {
            return;
        }

        try
        {
            FindListeners();
            foreach (Step step in _steps.Where(step => !step.IsUnchanged && !disputed.Contains(step.Definition)))
            {
                await AttemptAsync(step, errors, () => Open(step)).ConfigureAwait(false);
            }

            if (errors.Count == 0)
            {
                foreach (Step step in _steps.Where(step => step is { Server: not null, Serves: true }))
                {
                    await AttemptAsync(step, errors, step.Server!.Listeners.ListenAsync).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            EndSharing();
        }
    }

    /// <summary>Applies the transition.</summary>
    /// <returns>The running endpoints.</returns>
    public IReadOnlyList<RunningEndpoint> Commit()
    {
        _isCommitted = true;
        foreach (Step step in _steps)
        {
            if (step.Pipeline is ServerPipeline pipeline)
            {
                step.Before!.Server.Reconfigure(pipeline);
            }

            foreach ((RunningEndpoint owner, AcceptLoop loop) in step.HandedOver)
            {
                loop.Keep(AcceptLoopRole.Announced);
                Move(owner, loop, step.Server!);
            }

            if (step.Serves)
            {
                step.Server?.Accept();
            }
        }

        foreach (Leftover leftover in _leftovers)
        {
            if (leftover.Role == AcceptLoopRole.Covered)
            {
                leftover.Loop.Keep(AcceptLoopRole.Covered);
            }
            else
            {
                leftover.Loop.BeginEnding(leftover.Accepts);
            }

            Move(leftover.Owner, leftover.Loop, leftover.Successor.Server!);
        }

        return [.. _steps.Select(step => new RunningEndpoint(step.Definition, step.Server ?? step.Before!.Server))];
    }

    /// <summary>The listeners to close: at once, or, with a predicate on addresses, after pending TCP handshakes.</summary>
    public IEnumerable<(ByteStreamServer Server, AcceptLoop Loop, Func<EndPoint?, bool>? Accepts)> Ending =>
        _leftovers.Where(leftover => leftover.Role == AcceptLoopRole.Ending)
            .Select(leftover => (leftover.Successor.Server!, leftover.Loop, leftover.Accepts));

    public async ValueTask DisposeAsync()
    {
        if (_isCommitted)
        {
            return;
        }

        foreach (Step step in _steps)
        {
            step.Pipeline?.Dispose();
            if (step.Server is ByteStreamServer server)
            {
                server.Close();
                await server.WaitClosedAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }

        // Every listener is changed back, also after the failure of one.
        var failures = new List<Exception>();
        for (int i = _undo.Count - 1; i >= 0; i--)
        {
            try
            {
                _undo[i]();
            }
            catch (Exception failure) when (failure is IOException or SocketException or InvalidOperationException)
            {
                failures.Add(failure);
            }
        }

        if (failures.Count > 0)
        {
            throw new AggregateException("The options of listeners could not be restored.", failures);
        }
    }

    private async Task<Step> ClassifyAsync(EndpointDefinition definition, ICollection<string> errors, CancellationToken cancellationToken)
    {
        RunningEndpoint? before = running.FirstOrDefault(endpoint => definition.IsNamed(endpoint.Definition.Name));
        bool listensAlike = before is not null && definition.Url.IsSamePlace(before.Definition.Url) && definition.ListeningSignature == before.Definition.ListeningSignature;
        if (listensAlike)
        {
            return new Step(definition, before)
            {
                IsUnchanged = before!.Definition.Signature == definition.Signature,
                Addresses = [.. before.Server.Listeners.Loops.Where(loop => loop.Role == AcceptLoopRole.Announced).Select(loop => new Wanted(loop.Requested, loop.Address))],
            };
        }

        var step = new Step(definition, before) { Listens = true, Serves = definition.Options.StartServing };
        await AttemptAsync(step, errors, async () =>
        {
            IReadOnlyList<EndPoint> endPoints = await definition.Url.ResolveAsync(definition.Options, cancellationToken).ConfigureAwait(false);
            step.Addresses =
            [
                .. endPoints.Select(endPoint => new Wanted(
                    endPoint, ListenAddress.From(endPoint, definition.Options, ListenAddress.IsBesideIPv4(endPoint, endPoints)))),
            ];
        }).ConfigureAwait(false);
        return step;
    }

    /// <summary>Assigns existing listeners to endpoints, and decides about the others.</summary>
    private void FindListeners()
    {
        Step[] opened = [.. _steps.Where(step => step.Listens)];
        var free = running
            .Where(endpoint => !_steps.Any(step => !step.Listens && ReferenceEquals(step.Before, endpoint)))
            .SelectMany(endpoint => endpoint.Server.Listeners.Loops.Select(loop => (Owner: endpoint, Loop: loop)))
            .ToList();

        // Only its own endpoint knows a port that the system has chosen.
        foreach (Step step in opened)
        {
            Take(step, (owner, loop, wanted) => ReferenceEquals(owner, step.Before) && loop.Requested.Equals(wanted.Requested));
            if (step.Definition.Url.Descriptor is string name && step.Before?.Definition.Url.Descriptor == name)
            {
                step.HandedOver.AddRange(free.Where(each => ReferenceEquals(each.Owner, step.Before)));
                free.RemoveAll(each => ReferenceEquals(each.Owner, step.Before));
            }
        }

        foreach (Step step in opened)
        {
            Take(step, (_, loop, wanted) => loop.Address.EndPoint.Equals(wanted.Address.EndPoint));
            step.Serves = step.HandedOver.Count > 0 ? step.HandedOver.Any(each => each.Loop.Listens) : step.Serves;
        }

        foreach ((RunningEndpoint owner, AcceptLoop loop) in free.Where(each => each.Loop.Listens))
        {
            if (Leave(owner, loop, opened) is Leftover leftover)
            {
                _leftovers.Add(leftover);
                // The successor serves its clients.
                leftover.Successor.Serves = true;
            }
        }

        void Take(Step step, Func<RunningEndpoint, AcceptLoop, Wanted, bool> matches)
        {
            foreach (Wanted wanted in step.Addresses.Where(wanted => !wanted.IsHandedOver))
            {
                int found = free.FindIndex(each =>
                    each.Loop.IsReachable && each.Loop.Address.IsDualMode == wanted.Address.IsDualMode && matches(each.Owner, each.Loop, wanted));
                if (found >= 0)
                {
                    wanted.IsHandedOver = true;
                    step.HandedOver.Add(free[found]);
                    free.RemoveAt(found);
                }
            }
        }
    }

    /// <summary>The fate of a listener with none of the addresses; null if it is closed with its endpoint.</summary>
    private static Leftover? Leave(RunningEndpoint owner, AcceptLoop loop, Step[] opened)
    {
        if (loop.IsReachable && opened.FirstOrDefault(step => step.Addresses.Any(wanted => wanted.Address.Covers(loop.Address))) is Step wider)
        {
            return new Leftover(owner, loop, wider, AcceptLoopRole.Covered, null);
        }

        if (opened.FirstOrDefault(step => step.Addresses.Any(wanted => loop.Address.Covers(wanted.Address))) is Step narrower && loop.IsReachable)
        {
            ListenAddress[] addresses = [.. narrower.Addresses.Select(wanted => wanted.Address)];
            return new Leftover(owner, loop, narrower, AcceptLoopRole.Ending, local => local is IPEndPoint ip
                && addresses.Any(address => address.Covers(new ListenAddress(new IPEndPoint(PlainAddress.From(ip.Address), ip.Port), IsDualMode: false))));
        }

        return opened.FirstOrDefault(step => ReferenceEquals(step.Before, owner)) is Step successor
            ? new Leftover(owner, loop, successor, AcceptLoopRole.Ending, null)
            : null;
    }

    private Task Open(Step step)
    {
        if (!step.Listens)
        {
            step.Pipeline = step.Before!.Server.Prepare(step.Definition.Handler, step.Definition.Options);
            return Task.CompletedTask;
        }

        step.Server = ByteStreamServer.Create(step.Definition.Handler, step.Definition.Options);
        foreach ((_, AcceptLoop loop) in step.HandedOver.Concat(
            _leftovers.Where(leftover => ReferenceEquals(leftover.Successor, step)).Select(leftover => (leftover.Owner, leftover.Loop))))
        {
            var listener = (SocketListener)loop.Listener;
            ByteStreamListenOptions before = listener.Options;
            _undo.Add(() => listener.Change(before));
            listener.Change(step.Definition.Options);
        }

        if (step.Definition.Url.Descriptor is string name && step.HandedOver.Count == 0)
        {
            foreach (Socket socket in InheritedSockets.OfThisProcess.Open(name))
            {
                step.Server.Listeners.Bind(socket);
            }
        }

        foreach (Wanted wanted in step.Addresses.Where(wanted => !wanted.IsHandedOver))
        {
            Bind(step.Server, wanted);
        }

        return Task.CompletedTask;
    }

    private void Bind(ByteStreamServer server, Wanted wanted)
    {
        SocketListener[] disputing =
        [
            .. _leftovers.Select(leftover => leftover.Loop)
                .Concat(running.SelectMany(endpoint => endpoint.Server.Listeners.Loops).Where(loop => loop.Role == AcceptLoopRole.Ending))
                .Where(loop => wanted.Address.EndPoint is IPEndPoint && loop.Address.Overlaps(wanted.Address))
                .Select(loop => (SocketListener)loop.Listener),
        ];
        foreach (SocketListener other in disputing)
        {
            _shared.Add(other);
            other.Share(true);
        }

        AcceptLoop loop = server.Listeners.Bind(
            wanted.Requested, ipv6Only: wanted.Address is { IsDualMode: false, EndPoint.AddressFamily: AddressFamily.InterNetworkV6 }, shared: disputing.Length > 0);
        if (disputing.Length > 0)
        {
            _shared.Add((SocketListener)loop.Listener);
        }
    }

    /// <summary>Makes the ports exclusive again.</summary>
    private void EndSharing()
    {
        _shared.ForEach(listener => listener.Share(false));
        _shared.Clear();
    }

    private static void Move(RunningEndpoint owner, AcceptLoop loop, ByteStreamServer server)
    {
        server.Listeners.Adopt(loop);
        owner.Server.Listeners.Forget(loop);
    }

    private static async Task AttemptAsync(Step step, ICollection<string> errors, Func<Task> attempt)
    {
        try
        {
            await attempt().ConfigureAwait(false);
        }
        catch (Exception error) when (error is AddressInUseException or IOException or SocketException or PlatformNotSupportedException)
        {
            errors.Add($"{step.Definition.Path}:{nameof(EndpointSettings.Url)}: {error.Message}");
        }
        catch (ArgumentException error)
        {
            errors.Add($"{step.Definition.Path}: {error.Message}");
        }
    }

    /// <summary>The transition of one endpoint.</summary>
    private sealed class Step(EndpointDefinition definition, RunningEndpoint? before)
    {
        public EndpointDefinition Definition => definition;

        public RunningEndpoint? Before => before;

        public bool IsUnchanged { get; init; }

        /// <summary>Whether it gets a new server with listeners. Otherwise it keeps its server.</summary>
        public bool Listens { get; init; }

        /// <summary>Whether clients are accepted at once.</summary>
        public bool Serves { get; set; }

        public IReadOnlyList<Wanted> Addresses { get; set; } = [];

        public List<(RunningEndpoint Owner, AcceptLoop Loop)> HandedOver { get; } = [];

        /// <summary>Its new server; null if it keeps its server.</summary>
        public ByteStreamServer? Server { get; set; }

        /// <summary>The new pipeline of the server that it keeps.</summary>
        public ServerPipeline? Pipeline { get; set; }
    }

    private sealed class Wanted(EndPoint requested, ListenAddress address)
    {
        public EndPoint Requested => requested;

        public ListenAddress Address => address;

        public bool IsHandedOver { get; set; }
    }

    /// <summary>A listener that another server keeps, temporarily or while an address of that server covers it.</summary>
    private sealed record Leftover(RunningEndpoint Owner, AcceptLoop Loop, Step Successor, AcceptLoopRole Role, Func<EndPoint?, bool>? Accepts);
}

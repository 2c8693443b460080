using System.Net.Security;
using System.Runtime.CompilerServices;
using ByteStreams.Connections;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>How a server listens and treats its clients. Also the connection builder that middleware is added to.</summary>
/// <remarks>
/// <c>UseTls</c>, <c>UseTimeouts</c>, <c>UseAdmission</c> and the others are extension methods in the namespace
/// <c>Microsoft.AspNetCore.Hosting</c>, where those of the application's Kestrel are too.
/// <example>
/// <code>
/// using ByteStreams;
/// using Microsoft.AspNetCore.Hosting;
///
/// var options = new ByteStreamServerOptions().UseTimeouts(timeouts =&gt; timeouts.ReceiveIdle = TimeSpan.FromMinutes(5));
/// </code>
/// </example>
/// </remarks>
public class ByteStreamServerOptions : ByteStreamListenOptions, IConnectionBuilder, IConnectionBuilderServices, ITlsSettingsSource, ITlsEndpointBuilder
{
    private readonly List<Func<ConnectionDelegate, ConnectionDelegate>> _middleware = [];
    private readonly List<IDisposable> _owned = [];
    private readonly StrongBox<ByteStreamServer?> _builtFor = new();
    private ILoggerFactory? _loggerFactory;
    internal static new OptionRanges<ByteStreamServerOptions> Ranges { get; } = new(
        new DurationOption<ByteStreamServerOptions>(nameof(TlsHandshakeTimeout), DurationRange.Positive, o => o.TlsHandshakeTimeout),
        new DurationOption<ByteStreamServerOptions>(nameof(TlsShutdownTimeout), DurationRange.Positive, o => o.TlsShutdownTimeout));


    /// <summary>
    /// Whether clients are accepted at once. If false, addresses are bound and connections refused until
    /// <see cref="ByteStreamServer.StartServingAsync"/>. True by default.
    /// </summary>
    public bool StartServing { get; set; } = true;

    /// <summary>
    /// How long handlers have to end after <see cref="ByteStreamServer.ServeForeverAsync"/> was cancelled or the server was disposed, before
    /// their connections are aborted: 30 s by default, zero or more, or <see cref="Timeout.InfiniteTimeSpan"/> for no limit. Endpoints of a
    /// host end by its <c>DrainTimeout</c> instead.
    /// </summary>
    public TimeSpan ShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>TLS for every client: at least a certificate. Null, the default, is plain.</summary>
    public SslServerAuthenticationOptions? Tls { get; set; }

    /// <summary>How long a TLS handshake may take, <c>StartTlsAsync</c>'s included: 10 s by default, greater than zero.</summary>
    public TimeSpan TlsHandshakeTimeout { get; set; } = TlsServerOptions.DefaultHandshakeTimeout;

    /// <summary>
    /// How long a TLS close may take to send what was written and close_notify, before it is an abort: 30 s by default. Also after
    /// <c>StartTlsAsync</c>.
    /// </summary>
    public TimeSpan TlsShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether an end of TLS without close_notify is a truncation (<see cref="TlsTruncatedException"/>): true by default. False takes
    /// it for EOF: an attacker on the path can then truncate what the peer sends, unnoticed. Also after <c>StartTlsAsync</c>.
    /// </summary>
    public bool TlsRequireCloseNotify { get; set; } = true;

    /// <summary>The implementation of TLS, also of <c>StartTlsAsync</c>: <see cref="TlsEngine.Auto"/> by default.</summary>
    public TlsEngine TlsEngine { get; set; }

    /// <summary>
    /// Where the server logs. By default the factory of <see cref="ApplicationServices"/>; without one, warnings and errors go to standard
    /// error, one line each, written before the logging call returns. <c>NullLoggerFactory.Instance</c> logs nothing.
    /// </summary>
    public ILoggerFactory LoggerFactory
    {
        get => _loggerFactory ?? DefaultLogging.For(ApplicationServices);
        set => _loggerFactory = value;
    }

    /// <summary>The services that middleware resolves. Empty by default; a host passes its own.</summary>
    public IServiceProvider ApplicationServices { get; set; } = EmptyServices.Instance;

    /// <summary>Adds connection middleware: the first added sees the connection first. <see cref="Tls"/> comes after all of them, and the handler last.</summary>
    /// <param name="middleware">Gets the next one and returns its own.</param>
    /// <returns>The same options.</returns>
    public ByteStreamServerOptions Use(Func<ConnectionDelegate, ConnectionDelegate> middleware)
    {
        ArgumentNullException.ThrowIfNull(middleware);
        _middleware.Add(middleware);
        return this;
    }

    IConnectionBuilder IConnectionBuilder.Use(Func<ConnectionDelegate, ConnectionDelegate> middleware) => Use(middleware);

    ConnectionDelegate IConnectionBuilder.Build() => Build(static _ => Task.CompletedTask, out _);

    string? IConnectionBuilderServices.EndpointName => Name;

    string? IConnectionBuilderServices.HandlerName => HandlerName;

    Func<string> IConnectionBuilderServices.GetEndpointLabel() => (Name, _builtFor.Value) switch
    {
        (string name, _) => () => name,
        (null, ByteStreamServer server) => () => server.Label,
        _ => () => "-",
    };

    void IConnectionBuilderServices.Own(IDisposable resource) => Own(resource);

    /// <summary>What <c>UseTls</c> was given last; null where it was not called.</summary>
    internal TlsServerOptions? UsedTls { get; set; }

    TlsServerOptions? ITlsEndpointBuilder.UsedTls
    {
        get => UsedTls;
        set => UsedTls = value;
    }

    TlsSettings ITlsSettingsSource.TlsSettings => new(TlsHandshakeTimeout, TlsShutdownTimeout, TimeProvider, TlsRequireCloseNotify, Engine: TlsEngine);

    /// <summary>Adds middleware that sees the connection before all that was added so far.</summary>
    internal void UseFirst(Func<ConnectionDelegate, ConnectionDelegate> middleware) => _middleware.Insert(0, middleware);

    /// <summary>The handler's name in logs and snapshots.</summary>
    internal string? HandlerName { get; set; }

    internal override IListenerObserver ListenerObserver => ByteStreamMetrics.For(this);

    /// <summary>Builds the pipeline of the middleware and <paramref name="handler"/>.</summary>
    /// <param name="handler">The end of the pipeline.</param>
    /// <param name="owned">What the middleware holds, to be disposed with the server.</param>
    /// <param name="server">The server that it is for; null where it is built alone.</param>
    internal ConnectionDelegate Build(ConnectionDelegate handler, out IReadOnlyList<IDisposable> owned, ByteStreamServer? server = null)
    {
        // A copy shares the list with its original, to which the middleware was added.
        lock (_owned)
        {
            _owned.Clear();
            _builtFor.Value = server;
            try
            {
                ConnectionDelegate built = handler;
                for (int i = _middleware.Count - 1; i >= 0; i--)
                {
                    built = _middleware[i](built);
                }

                owned = [.. _owned];
                return built;
            }
            catch
            {
                foreach (IDisposable made in _owned)
                {
                    made.Dispose();
                }

                throw;
            }
            finally
            {
                _builtFor.Value = null;
            }
        }
    }

    /// <summary>Called by middleware while it is built: the resource is disposed with the server.</summary>
    internal void Own(IDisposable resource) => _owned.Add(resource);

    /// <summary>
    /// Whether accepted connections may use the descriptors that are reserved for administration, so that health checks and status pages
    /// answer when other connections have used up all others. False by default.
    /// </summary>
    public bool IsAdministrative
    {
        get => DescriptorUse == DescriptorUse.Administration;
        set => DescriptorUse = value ? DescriptorUse.Administration : DescriptorUse.Accept;
    }

    /// <summary>A copy that later changes do not reach.</summary>
    internal ByteStreamServerOptions Snapshot()
    {
        Validate();
        return (ByteStreamServerOptions)MemberwiseClone();
    }

    internal override void Validate()
    {
        base.Validate();
        ValidationErrors.ThrowIfAny(Ranges.Validate(this));
        if (ShutdownTimeout < TimeSpan.Zero && ShutdownTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentException("ShutdownTimeout is zero or more, or Timeout.InfiniteTimeSpan for no limit.");
        }
    }
}

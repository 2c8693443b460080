using System.Diagnostics.CodeAnalysis;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams;

/// <summary>
/// Registers handlers and endpoints. The application's host starts the endpoints, and drains them before it stops other services
/// (<see cref="ByteStreamServers.DrainAsync"/>): it closes the listeners, cancels the handlers' <c>stopping</c> token, and aborts the connections
/// whose handlers have not returned within <c>DrainTimeout</c>.
/// </summary>
/// <example>
/// <code>
/// builder.Services.AddByteStreams()
///     .AddHandler&lt;Echo&gt;("echo")
///     .AddEndpoint("local", "tcp://127.0.0.1:7007", "echo", endpoint =&gt; endpoint.Limit = 4096)
///     .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
/// </code>
/// </example>
public sealed class ByteStreamsBuilder
{
    private readonly EndpointRegistry _registry;

    internal ByteStreamsBuilder(IServiceCollection services, EndpointRegistry registry)
    {
        Services = services;
        _registry = registry;
    }

    /// <summary>The application's services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Registers a handler class. Each connection has its own instance in its own dependency-injection scope, disposed with it.</summary>
    /// <typeparam name="THandler">The class. Its constructor's arguments come from the scope; a registration of its own wins.</typeparam>
    /// <param name="name">The name that endpoints use. Unique, case does not matter.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>
    /// The constructor's services, and those that they need, are checked when the host starts, without creating an instance: a missing service
    /// is an error of each endpoint that uses the handler (<see cref="EndpointConfigurationException"/>).
    /// </remarks>
    /// <exception cref="ArgumentException">The name is taken or empty.</exception>
    public ByteStreamsBuilder AddHandler<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(string name)
        where THandler : ByteStreamHandler
    {
        _registry.Add(name, HandlerActivator.Create<THandler>);
        return this;
    }

    /// <summary>Registers a callback as a handler.</summary>
    /// <param name="name">The name that endpoints use. Unique, case does not matter.</param>
    /// <param name="clientConnected">
    /// Called for each connection, concurrently for different connections. If the callback has two arguments, reads without a token are canceled
    /// when the server stops.
    /// </param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">The name is taken or empty.</exception>
    public ByteStreamsBuilder AddHandler(string name, ByteStreamDelegate clientConnected)
    {
        ArgumentNullException.ThrowIfNull(clientConnected);
        _registry.Add(name, _ => clientConnected);
        return this;
    }

    /// <inheritdoc cref="AddHandler(string, ByteStreamDelegate)"/>
    public ByteStreamsBuilder AddHandler(string name, Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected) =>
        AddHandler(name, CallbackAdapter.Adapt(clientConnected));

    /// <summary>Adds an endpoint with a named handler. All endpoints are validated when the host starts.</summary>
    /// <param name="name">Its name, in logs and in <see cref="ByteStreamServers"/>. Unique, case does not matter.</param>
    /// <param name="url"><c>tcp://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd passes.</param>
    /// <param name="handler">The handler's name.</param>
    /// <param name="configure">Sets options and adds connection middleware (<see cref="ByteStreamServerOptions.Use"/>).</param>
    /// <returns>The same builder.</returns>
    public ByteStreamsBuilder AddEndpoint(string name, string url, string handler, Action<ByteStreamServerOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(handler);
        _registry.Add(new EndpointRegistration(name, url, handler, null, configure, $"AddEndpoint(\"{name}\")", []));
        return this;
    }

    /// <summary>Adds an endpoint with a callback.</summary>
    /// <param name="name">Its name. Unique, case does not matter.</param>
    /// <param name="url"><c>tcp://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd passes.</param>
    /// <param name="clientConnected">Called for each connection.</param>
    /// <param name="configure">Sets options and adds connection middleware.</param>
    /// <returns>The same builder.</returns>
    public ByteStreamsBuilder AddEndpoint(string name, string url, ByteStreamDelegate clientConnected, Action<ByteStreamServerOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(clientConnected);
        _registry.Add(new EndpointRegistration(name, url, null, clientConnected, configure, $"AddEndpoint(\"{name}\")", []));
        return this;
    }

    /// <inheritdoc cref="AddEndpoint(string, string, ByteStreamDelegate, Action{ByteStreamServerOptions}?)"/>
    public ByteStreamsBuilder AddEndpoint(
        string name, string url, Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, Action<ByteStreamServerOptions>? configure = null) =>
        AddEndpoint(name, url, CallbackAdapter.Adapt(clientConnected), configure);

    /// <summary>Sets options of, and adds middleware to, an endpoint that was added elsewhere, usually in configuration.</summary>
    /// <param name="name">The endpoint's name.</param>
    /// <param name="configure">Called after the endpoint's own settings.</param>
    /// <returns>The same builder.</returns>
    public ByteStreamsBuilder ConfigureEndpoint(string name, Action<ByteStreamServerOptions> configure)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(configure);
        _registry.Configure(name, configure);
        return this;
    }

    /// <summary>
    /// Adds a validation of other settings. Its errors are reported together with those of the endpoints, in one
    /// <see cref="EndpointConfigurationException"/>. With errors, no endpoint starts, and a changed configuration is rejected.
    /// </summary>
    /// <param name="check">Adds one line for each error: the key, the cause, the remedy. Called at the start, and at each reload.</param>
    /// <returns>The same builder.</returns>
    public ByteStreamsBuilder AddCheck(Action<ICollection<string>> check)
    {
        ArgumentNullException.ThrowIfNull(check);
        _registry.Add(check);
        return this;
    }

    /// <summary>
    /// Adds the endpoints of a configuration section: <c>Endpoints:&lt;name&gt;</c> with <c>Url</c>, <c>Handler</c> and the
    /// options of <see cref="ByteStreamServerOptions"/> by their names.
    /// </summary>
    /// <param name="section">Usually <c>configuration.GetSection("ByteStreams")</c>. Read when the host starts.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>
    /// A section that does not exist or is empty when the host starts is a warning (event 821), because a later reload may add it. Event 820
    /// reports the address of each endpoint.
    /// </remarks>
    public ByteStreamsBuilder LoadFromConfig(IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(section);
        _registry.Add(section);
        return this;
    }
}

using System.Diagnostics.CodeAnalysis;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams;

/// <summary>
/// Registers handlers and endpoints. The application's host starts the endpoints with itself and drains them before it stops anything
/// else (<see cref="ByteStreamServers.DrainAsync"/>): listeners first, handlers are told through their <c>stopping</c> token, and
/// whoever has not returned within <c>DrainTimeout</c> is aborted.
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

    /// <summary>Registers a handler class: made in a dependency-injection scope of its own for each connection, and disposed with it.</summary>
    /// <typeparam name="THandler">The class. Its constructor's arguments come from the scope; a registration of its own wins.</typeparam>
    /// <param name="name">The name that endpoints use. Unique, whatever its case.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>
    /// The constructor's services, and those that they need, are checked when the host starts, without making an instance: a missing one is
    /// an error of each endpoint that uses the handler (<see cref="EndpointConfigurationException"/>).
    /// </remarks>
    /// <exception cref="ArgumentException">The name is taken or empty.</exception>
    public ByteStreamsBuilder AddHandler<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(string name)
        where THandler : ByteStreamHandler
    {
        _registry.Add(name, HandlerActivator.Create<THandler>);
        return this;
    }

    /// <summary>Registers a callback as a handler.</summary>
    /// <param name="name">The name that endpoints use. Unique, whatever its case.</param>
    /// <param name="clientConnected">
    /// Called for each connection, in parallel for different ones. A callback of two arguments has its waiting reads cancelled when the server
    /// stops, unless they are given a token.
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
        AddHandler(name, ByteStream.Adapt(clientConnected));

    /// <summary>Adds an endpoint that a named handler serves. It is checked when the host starts, together with all others.</summary>
    /// <param name="name">Its name, in logs and in <see cref="ByteStreamServers"/>. Unique, whatever its case.</param>
    /// <param name="url"><c>tcp://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd hands over.</param>
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

    /// <summary>Adds an endpoint that a callback serves.</summary>
    /// <param name="name">Its name. Unique, whatever its case.</param>
    /// <param name="url"><c>tcp://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd hands over.</param>
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
        AddEndpoint(name, url, ByteStream.Adapt(clientConnected), configure);

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
    /// Adds a check of something else that has to be right before the endpoints start. Its mistakes are told together with theirs, in one
    /// <see cref="EndpointConfigurationException"/>, and nothing starts then; nor is a changed configuration taken over.
    /// </summary>
    /// <param name="check">Adds one line for each mistake: the key, the cause, the remedy. Called at the start, and at each change.</param>
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
    /// A section that does not exist or is empty when the host starts is a warning (event 821), because a later reload may add it: its
    /// endpoints are loaded then. Event 820 has the address of each endpoint that listens.
    /// </remarks>
    public ByteStreamsBuilder LoadFromConfig(IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(section);
        _registry.Add(section);
        return this;
    }
}

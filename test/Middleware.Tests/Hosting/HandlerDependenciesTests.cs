using System.Net;
using ByteStreams.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>A handler that the container cannot make is an error at the start, which names it, what is missing, and the endpoint.</summary>
public class HandlerDependenciesTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private interface IMissing;

    private interface IStore;

    [Fact(Timeout = 120000)]
    public async Task Start_ConstructorNeedsAMissingService_NamesEndpointHandlerAndService()
    {
        EndpointConfigurationException error = await FailsAsync<Needy>();

        Assert.Equal(
            """
            AddEndpoint("a"):Handler: The handler Needy cannot be created: the service IMissing, which the parameter 'missing' of Needy needs, is not registered; the service Lazy<String>, which the parameter 'name' of Needy needs, is not registered. Register what is missing, or give the parameter a default value.
            """,
            Assert.Single(error.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Start_ARegisteredServiceNeedsAMissingOne_NamesIt()
    {
        EndpointConfigurationException error = await FailsAsync<UsesStore>(services => services.AddScoped<IStore, BrokenStore>());

        Assert.Contains(
            "The handler UsesStore cannot be created: the service IMissing, which the parameter 'missing' of BrokenStore needs, is not registered.",
            Assert.Single(error.Errors),
            StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_TheHandlerIsRegisteredItselfAndNeedsAMissingService_NamesIt()
    {
        EndpointConfigurationException error = await FailsAsync<UsesStore>(services => services.AddScoped<UsesStore>());

        Assert.Contains(
            "the service IStore, which the parameter 'store' of UsesStore needs, is not registered", Assert.Single(error.Errors), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_AKeyedServiceIsMissing_NamesItsKey()
    {
        EndpointConfigurationException error = await FailsAsync<UsesKeyed>(services => services.AddKeyedSingleton<IStore, Store>("other").AddSingleton<IStore, Store>());

        Assert.Contains(
            "the service IStore with the key 'main', which the parameter 'store' of UsesKeyed needs, is not registered",
            Assert.Single(error.Errors),
            StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_SeveralConstructors_IsAnErrorOfTheEndpoint()
    {
        EndpointConfigurationException error = await FailsAsync<Ambiguous>();

        Assert.StartsWith("AddEndpoint(\"a\"):Handler: Multiple constructors", Assert.Single(error.Errors), StringComparison.Ordinal);
        Assert.Contains("HandlerDependenciesTests+Ambiguous", error.Message, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_WhatTheContainerCanMake_Starts()
    {
        await StartsAsync<UsesEverything>(services => services
            .AddScoped<IStore, Store>().AddKeyedScoped<IStore, Store>("main").AddSingleton(_ => new BrokenStore(null!)).AddSingleton<Cycle>());
        await StartsAsync<UsesKeyed>(services => services.AddKeyedScoped<IStore>("main", (_, _) => new Store()));
        await StartsAsync<Needy>(services => services.AddScoped(_ => new Needy(null!, null!)));
        await StartsAsync<Preferred>();
    }

    [Fact(Timeout = 120000)]
    public async Task Start_HandlerCanBeMade_MakesNone()
    {
        int before = Counted.Made;

        await StartsAsync<Counted>();

        Assert.Equal(before, Counted.Made);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_ConstructorNeedsAMissingService_FindsIt()
    {
        using IHost host = Build<Needy>();
        var errors = new List<string>();

        await EndpointCheck.RunAsync(host.Services, errors, Cancel);

        Assert.StartsWith("AddEndpoint(\"a\"):Handler: The handler Needy cannot be created: the service IMissing", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Theory(Timeout = 120000)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task UseByteStreamHandler_ConstructorNeedsAMissingService_TheApplicationDoesNotStart(bool withByteStreams)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        if (withByteStreams)
        {
            builder.Services.AddByteStreams();
        }

        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 7007, endpoint => endpoint.UseByteStreamHandler<UsesStore>()));

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(async () =>
        {
            await using WebApplication application = builder.Build();
            await application.StartAsync(Cancel);
        });

        Assert.Equal(
            "Endpoint 127.0.0.1:7007: The handler UsesStore cannot be created: the service IStore, which the parameter 'store' of UsesStore needs, "
            + "is not registered. Register what is missing, or give the parameter a default value.",
            error.Message);
    }

    private static async Task<EndpointConfigurationException> FailsAsync<THandler>(Action<IServiceCollection>? configure = null)
        where THandler : ByteStreamHandler
    {
        using IHost host = Build<THandler>(configure);
        return await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Cancel));
    }

    private static async Task StartsAsync<THandler>(Action<IServiceCollection>? configure = null)
        where THandler : ByteStreamHandler
    {
        using IHost host = Build<THandler>(configure);
        await host.StartAsync(Cancel);
        Assert.True(host.Services.GetRequiredService<ByteStreamServers>()["a"].IsServing);
        await host.StopAsync(Cancel);
    }

    private static IHost Build<THandler>(Action<IServiceCollection>? configure = null)
        where THandler : ByteStreamHandler
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        configure?.Invoke(builder.Services);
        builder.Services.AddByteStreams().AddHandler<THandler>("handler").AddEndpoint("a", "tcp://127.0.0.1:0", "handler");
        return builder.Build();
    }

    private abstract class Silent : ByteStreamHandler
    {
        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping) => Task.CompletedTask;
    }

    private sealed class Store : IStore;

    private sealed class BrokenStore(IMissing missing) : IStore
    {
        public override string ToString() => $"{missing}";
    }

    /// <summary>Its circle ends the walk; the container reports it where it is resolved.</summary>
    private sealed class Cycle(Lazy<Cycle>? next = null)
    {
        public override string ToString() => $"{next}";
    }

    private sealed class Needy(IMissing missing, Lazy<string> name) : Silent
    {
        public override string ToString() => $"{missing} {name}";
    }

    private sealed class UsesStore(IStore store) : Silent
    {
        public override string ToString() => $"{store}";
    }

    private sealed class UsesKeyed([FromKeyedServices("main")] IStore store) : Silent
    {
        public override string ToString() => $"{store}";
    }

    private sealed class UsesEverything(
        IServiceProvider services, IServiceScopeFactory scopes, ILogger<Needy> logger, IEnumerable<IMissing> missing, IStore store,
        [FromKeyedServices("main")] IStore keyed, BrokenStore made, Cycle cycle, TimeProvider? time = null, int count = 3) : Silent
    {
        public override string ToString() => $"{services} {scopes} {logger} {missing} {store} {keyed} {made} {cycle} {time} {count}";
    }

    private sealed class Ambiguous : Silent
    {
        public Ambiguous(IServiceProvider services) => ArgumentNullException.ThrowIfNull(services);

        public Ambiguous(IServiceScopeFactory scopes) => ArgumentNullException.ThrowIfNull(scopes);
    }

    private sealed class Preferred : Silent
    {
        [ActivatorUtilitiesConstructor]
        public Preferred(IServiceProvider services) => ArgumentNullException.ThrowIfNull(services);

        public Preferred(IMissing missing) => ArgumentNullException.ThrowIfNull(missing);
    }

    private sealed class Counted : Silent
    {
        private static int _made;

        public Counted(IServiceProvider services)
        {
            ArgumentNullException.ThrowIfNull(services);
            Interlocked.Increment(ref _made);
        }

        public static int Made => Volatile.Read(ref _made);
    }
}

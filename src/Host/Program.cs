using ByteStreams;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StreamsHost;
using StreamsHost.Handlers;

try
{
    // The configuration lies beside the program, whatever folder it is started from.
    HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings
    {
        Args = args,
        ContentRootPath = AppContext.BaseDirectory,
    });

    HostConfiguration.AddSecrets(builder.Configuration);

    // A failed start is told below, in one line for each mistake; the host would add a stack trace.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
    builder.Services.AddSingleton(new ChatRoom());
    builder.Services.AddByteStreams()
        .AddHandler<EchoHandler>("echo")
        .AddHandler<DiscardHandler>("discard")
        .AddHandler<ChatHandler>("chat")
        .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
    builder.Services.AddSingleton(Console.Out);
    builder.Services.AddHostedService<EndpointAnnouncer>();
    using IHost host = builder.Build();
    HostConfiguration.TellUnreadable(builder.Configuration, host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamsHost"));
    await host.RunAsync();
    return 0;
}
catch (EndpointConfigurationException mistakes)
{
    foreach (string mistake in mistakes.Errors)
    {
        await Console.Error.WriteLineAsync(mistake);
    }

    return 1;
}
catch (Exception unreadable) when (unreadable is InvalidDataException or FormatException)
{
    // appsettings.json is no JSON, or an argument is no --key value: the message says where, the inner one why.
    await Console.Error.WriteLineAsync($"{unreadable.Message} {unreadable.InnerException?.Message}".TrimEnd());
    return 1;
}

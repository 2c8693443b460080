using ByteStreams;
using ByteStreams.Hosting;
using Microsoft.Extensions.DependencyInjection.Extensions;
using StreamsHost.Admin;
using StreamsHost.Handlers;
using StreamsHost.Output;

namespace StreamsHost;

/// <summary>What the host is made of, the same for every command that looks at the configuration.</summary>
internal static class HostApplication
{
    /// <exception cref="ByteStreams.EndpointConfigurationException">The configuration file or the folder of secrets is not there.</exception>
    /// <exception cref="InvalidDataException">A file is no JSON.</exception>
    public static WebApplicationBuilder CreateBuilder(HostArguments arguments)
    {
        // Empty: the other builders read and watch the file beside the program, also where another is named, and let its sections Kestrel and
        // AllowedHosts, and variables of these names, configure the HTTP side.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        HostConfiguration.AddSources(builder.Configuration, arguments);
        builder.AddHostLogging();
        builder.Services.AddSingleton(new ChatRoom());
        ByteStreamsBuilder endpoints = builder.Services.AddByteStreams()
            .AddHandler<EchoHandler>("echo")
            .AddHandler<DiscardHandler>("discard")
            .AddHandler<ChatHandler>("chat")
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"))
            .AddCheck(mistakes =>
            {
                foreach (string mistake in HostChecks.Mistakes(builder.Configuration))
                {
                    mistakes.Add(mistake);
                }
            });
        builder.Services.TryAddSingleton<TextWriter, QueuedWriter>();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.AddAdmin(endpoints);
        builder.Services.AddSingleton<IEndpointAnnouncer, EndpointAnnouncer>();
        return builder;
    }
}

using ByteStreams;
using Microsoft.Extensions.DependencyInjection.Extensions;
using StreamsHost.Configuration;
using StreamsHost.Handlers;
using StreamsHost.Output;

namespace StreamsHost.Hosting;

/// <summary>Composes the host, for every command that uses the configuration.</summary>
internal static class HostApplication
{
    /// <exception cref="ByteStreams.EndpointConfigurationException">The configuration file or the folder of secrets does not exist.</exception>
    /// <exception cref="InvalidDataException">A file is not valid JSON.</exception>
    public static WebApplicationBuilder CreateBuilder(HostArguments arguments)
    {
        // Empty: the other builders read and watch the file in the program's folder, also if another is given, and let its sections Kestrel and
        // AllowedHosts, and variables of these names, configure the HTTP side.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        HostConfiguration.AddSources(builder.Configuration, arguments);
        builder.AddHostLogging();
        ByteStreamsBuilder endpoints = builder.Services.AddByteStreams()
            .AddHandler<EchoHandler>("echo")
            .AddHandler<DiscardHandler>("discard")
            .AddHandler<ChatHandler>("chat")
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"))
            .AddCheck(errors =>
            {
                foreach (string error in HostChecks.Validate(builder.Configuration))
                {
                    errors.Add(error);
                }
            });
        builder.Services.TryAddSingleton<TextWriter, QueuedWriter>();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.AddAdmin(endpoints);
        builder.Services.AddSingleton<IEndpointAnnouncer, EndpointAnnouncer>();
        return builder;
    }
}

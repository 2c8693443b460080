using Microsoft.Extensions.DependencyInjection.Extensions;
using StreamsHost.Handlers;

namespace StreamsHost;

/// <summary>What the host is made of, the same for every command that looks at the configuration.</summary>
internal static class HostApplication
{
    /// <param name="keys">Configuration keys of the command line, as <c>--key=value</c> or <c>--key value</c>.</param>
    /// <exception cref="ByteStreams.EndpointConfigurationException">The folder of secrets is not there.</exception>
    /// <exception cref="InvalidDataException">A file is no JSON.</exception>
    /// <exception cref="FormatException">An argument is no key with a value.</exception>
    public static WebApplicationBuilder CreateBuilder(IReadOnlyList<string> keys)
    {
        // The configuration lies beside the program, whatever folder it is started from.
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
        {
            Args = [.. keys],
            ContentRootPath = AppContext.BaseDirectory,
        });
        HostConfiguration.AddSecrets(builder.Configuration);
        builder.WebHost.UseUrls(builder.Configuration["Admin:Url"] ?? "http://127.0.0.1:7000");
        builder.Services.AddSingleton(new ChatRoom());
        builder.Services.AddByteStreams()
            .AddHandler<EchoHandler>("echo")
            .AddHandler<DiscardHandler>("discard")
            .AddHandler<ChatHandler>("chat")
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        builder.Services.TryAddSingleton(Console.Out);
        builder.Services.AddHostedService<EndpointAnnouncer>();
        return builder;
    }
}

using Microsoft.Extensions.DependencyInjection.Extensions;

namespace StreamsHost.Lifetime;

/// <summary>Adds signals and systemd to the host.</summary>
internal static class LifetimeExtensions
{
    /// <summary>Adds both, after everything that starts and stops with the host.</summary>
    public static WebApplicationBuilder AddLifetime(this WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton<NotifySocket>();
        builder.Services.AddSingleton<Systemd>();
        builder.Services.AddHostedService(services => services.GetRequiredService<Systemd>());
        builder.Services.Replace(ServiceDescriptor.Singleton<IHostLifetime, HostSignals>());
        return builder;
    }
}

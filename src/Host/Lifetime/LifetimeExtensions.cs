using Microsoft.Extensions.DependencyInjection.Extensions;

namespace StreamsHost.Lifetime;

/// <summary>Makes a process of the host: signals and systemd.</summary>
internal static class LifetimeExtensions
{
    /// <summary>Adds both, behind everything that starts and stops with the host.</summary>
    public static WebApplicationBuilder AddLifetime(this WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton<NotifySocket>();
        builder.Services.AddSingleton<Systemd>();
        builder.Services.AddHostedService(services => services.GetRequiredService<Systemd>());
        builder.Services.Replace(ServiceDescriptor.Singleton<IHostLifetime, HostSignals>());
        return builder;
    }
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>Where servers, handlers and relays log that were given no logger factory.</summary>
internal static class DefaultLogging
{
    private static readonly StandardErrorLoggerFactory StandardError = new(() => Console.Error);

    /// <summary>The application's factory; where there is none, standard error.</summary>
    public static ILoggerFactory For(IServiceProvider? services = null) => services?.GetService<ILoggerFactory>() ?? StandardError;
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>Where servers, handlers and relays log that were given no logger factory.</summary>
internal static class DefaultLogging
{
    private static readonly StandardErrorLoggerFactory StandardError = AtProcessExit(new(() => Console.Error));

    /// <summary>The application's factory; where there is none, standard error.</summary>
    public static ILoggerFactory For(IServiceProvider? services = null) => services?.GetService<ILoggerFactory>() ?? StandardError;

    /// <summary>Waits until what was logged to standard error is written.</summary>
    public static bool Flush(TimeSpan timeout) => StandardError.Flush(timeout);

    /// <summary>A program that ends right after an error still writes it.</summary>
    private static StandardErrorLoggerFactory AtProcessExit(StandardErrorLoggerFactory factory)
    {
        AppDomain.CurrentDomain.ProcessExit += (_, _) => factory.Dispose();
        return factory;
    }
}

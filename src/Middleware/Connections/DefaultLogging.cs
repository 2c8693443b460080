using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>The logger factory of servers, handlers and relays that were given none.</summary>
internal static class DefaultLogging
{
    private static readonly StandardErrorLoggerFactory StandardError = AtProcessExit(new(() => Console.Error));

    /// <summary>The application's factory; standard error where there is none.</summary>
    public static ILoggerFactory For(IServiceProvider? services = null) => services?.GetService<ILoggerFactory>() ?? StandardError;

    /// <summary>Waits until what was logged to standard error is written.</summary>
    public static bool Flush(TimeSpan timeout) => StandardError.Flush(timeout);

    /// <summary>Writes the queued lines when the process exits.</summary>
    private static StandardErrorLoggerFactory AtProcessExit(StandardErrorLoggerFactory factory)
    {
        AppDomain.CurrentDomain.ProcessExit += (_, _) => factory.Dispose();
        return factory;
    }
}

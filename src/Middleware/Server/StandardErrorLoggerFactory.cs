using System.Globalization;
using ByteStreams.Telemetry;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Writes warnings and errors as one line each: level, category, event id and message as the console logger has them, then the exception.
/// An error's exception has its stack, a warning's only its message. Thread-safe.
/// </summary>
/// <param name="output">The writer, asked for each line, because a program may replace it.</param>
internal sealed class StandardErrorLoggerFactory(Func<TextWriter> output) : ILoggerFactory
{
    /// <summary>The longest line in characters: some sixty frames of a stack.</summary>
    private const int Longest = 8192;

    private readonly Lock _gate = new();

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    /// <exception cref="NotSupportedException">Always: this is what logs where no provider was given.</exception>
    public void AddProvider(ILoggerProvider provider) =>
        throw new NotSupportedException("The default logging takes no provider. Set LoggerFactory to a factory that has it.");

    /// <summary>Holds nothing.</summary>
    public void Dispose()
    {
    }

    private void Write(string line)
    {
        lock (_gate)
        {
            output().WriteLine(line);
        }
    }

    private sealed class Logger(StandardErrorLoggerFactory factory, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel is LogLevel.Warning or LogLevel.Error or LogLevel.Critical;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            string level = logLevel switch { LogLevel.Warning => "warn", LogLevel.Error => "fail", _ => "crit" };
            string text = string.Create(CultureInfo.InvariantCulture, $"{level}: {category}[{eventId.Id}] {formatter(state, exception)}");
            if (exception is not null)
            {
                text = logLevel == LogLevel.Warning
                    ? $"{text} {exception.GetType()}: {exception.Message}"
                    : $"{text} {string.Join(" | ", exception.ToString().Split('\n', StringSplitOptions.TrimEntries))}";
            }

            factory.Write(LogText.Escape(text, Longest));
        }
    }
}

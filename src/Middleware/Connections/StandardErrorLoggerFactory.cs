using System.Globalization;
using ByteStreams.Transport.Text;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>
/// Writes warnings and errors as one line each: level, category, event id and message as the console logger has them, then the exception.
/// An error's exception has its stack, a warning's only its message. Lines wait in a queue: a standard error that is not read must not
/// block a handler. Thread-safe.
/// </summary>
internal sealed class StandardErrorLoggerFactory : ILoggerFactory
{
    /// <summary>The longest line in characters: some sixty frames of a stack.</summary>
    private const int Longest = 8192;

    /// <summary>The most lines that are queued: the console logger's default.</summary>
    private const int Capacity = 2500;

    private readonly OutputQueue _queue;

    /// <param name="output">The writer, asked for each line, because a program may replace it.</param>
    public StandardErrorLoggerFactory(Func<TextWriter> output) =>
        _queue = new OutputQueue(line => output().WriteLine(line), DroppedNotice, Capacity, TimeProvider.System);

    public ILogger CreateLogger(string categoryName) => new Logger(categoryName, _queue.Post);

    /// <exception cref="NotSupportedException">Always: this factory is for programs that give no provider.</exception>
    public void AddProvider(ILoggerProvider provider) =>
        throw new NotSupportedException("The default logging takes no provider. Set LoggerFactory to a factory that has it.");

    /// <summary>Waits until everything is written. Returns false if that took longer.</summary>
    public bool Flush(TimeSpan timeout) => _queue.Flush(timeout);

    /// <summary>Writes the queued lines, for at most a second. Later lines are dropped.</summary>
    public void Dispose() => _queue.Dispose();

    private static string DroppedNotice(long count)
    {
        string notice = string.Empty;
        OutputLog.LogDropped(new Logger(OutputLog.Category, line => notice = line), count);
        return notice;
    }

    private sealed class Logger(string category, Action<string> post) : ILogger
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

            post(LogText.Escape(text, Longest));
        }
    }
}

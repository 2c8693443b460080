using ByteStreams;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace StreamsHost.Output;

/// <summary>
/// The console logger with its formatters and its options, over queues that never block. <c>MaxQueueLength</c> bounds them;
/// <c>QueueFullMode</c> has no effect.
/// </summary>
[ProviderAlias("Console")]
internal sealed class QueuedConsole : ILoggerProvider, ISupportExternalScope
{
    private readonly Dictionary<string, ConsoleFormatter> _formatters;
    private readonly IOptionsMonitor<ConsoleLoggerOptions> _options;
    private readonly OutputQueue _output;
    private readonly OutputQueue _error;
    private IExternalScopeProvider? _scopes;

    public QueuedConsole(IEnumerable<ConsoleFormatter> formatters, IOptionsMonitor<ConsoleLoggerOptions> options, TimeProvider time)
        : this(formatters, options, time, new StandardText(1).Write, new StandardText(2).Write)
    {
    }

    internal QueuedConsole(
        IEnumerable<ConsoleFormatter> formatters, IOptionsMonitor<ConsoleLoggerOptions> options, TimeProvider time, Action<string> output, Action<string> error)
    {
        _formatters = formatters.ToDictionary(formatter => formatter.Name, StringComparer.OrdinalIgnoreCase);
        _options = options;
        int capacity = options.CurrentValue.MaxQueueLength;
        _output = new OutputQueue(output, DroppedNotice, capacity, time);
        _error = new OutputQueue(error, DroppedNotice, capacity, time);
    }

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName, Post);

    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

    /// <summary>Writes text to standard output that is not a log entry.</summary>
    public void WriteOutput(string text) => _output.Post(text);

    /// <summary>Writes queued text, for at most a second.</summary>
    public void Dispose()
    {
        _output.Dispose();
        _error.Dispose();
    }

    private void Post(LogLevel level, string text) => (level >= _options.CurrentValue.LogToStandardErrorThreshold ? _error : _output).Post(text);

    private string DroppedNotice(long count)
    {
        string notice = string.Empty;
        OutputQueue.LogDropped(new Logger(this, OutputQueue.LogCategory, (_, text) => notice = text), count);
        return notice;
    }

    private ConsoleFormatter Formatter() =>
        _formatters.GetValueOrDefault(_options.CurrentValue.FormatterName ?? ConsoleFormatterNames.Simple) ?? _formatters[ConsoleFormatterNames.Simple];

    private sealed class Logger(QueuedConsole console, string category, Action<LogLevel, string> post) : ILogger
    {
        /// <summary>The largest buffer that a thread keeps.</summary>
        private const int MaxKeptCapacity = 4096;

        [ThreadStatic]
        private static StringWriter? _buffer;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => console._scopes?.Push(state);

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            StringWriter buffer = _buffer ??= new StringWriter();
            console.Formatter().Write(new LogEntry<TState>(logLevel, category, eventId, state, exception, formatter), console._scopes, buffer);
            string text = buffer.ToString();
            buffer.GetStringBuilder().Clear();
            if (buffer.GetStringBuilder().Capacity > MaxKeptCapacity)
            {
                _buffer = null;
            }

            if (text.Length > 0)
            {
                post(logLevel, text);
            }
        }
    }
}

namespace StreamsHost.Commands;

/// <summary>A command failed; the message is the line to report.</summary>
internal sealed class CommandException(string message, Exception? inner = null) : Exception(message, inner);

namespace StreamsHost.Commands;

/// <summary>A command cannot do what it was asked for; the message is the line that says why.</summary>
internal sealed class CommandException(string message, Exception? inner = null) : Exception(message, inner);

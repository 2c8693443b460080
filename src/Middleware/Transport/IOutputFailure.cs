using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>An output that reports why it accepts no more bytes; a <see cref="FlushResult"/> has no cause.</summary>
internal interface IOutputFailure
{
    /// <summary>Null while it accepts bytes.</summary>
    Exception? Failure { get; }

    /// <summary>The cause of a completed flush: the output's own, or a general one for other outputs.</summary>
    static Exception Of(PipeWriter output) => (output as IOutputFailure)?.Failure
        ?? new ConnectionResetException("The connection was lost: the peer takes no more bytes.");
}

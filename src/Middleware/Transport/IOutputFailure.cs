using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>An output that knows why it takes no more bytes; a <see cref="FlushResult"/> says only that it does not.</summary>
internal interface IOutputFailure
{
    /// <summary>Null while it takes bytes.</summary>
    Exception? Failure { get; }

    /// <summary>What a flush that was completed means: the output's own cause, or a general one for outputs that have none.</summary>
    static Exception Of(PipeWriter output) => (output as IOutputFailure)?.Failure
        ?? new ConnectionResetException("The connection was lost: the peer takes no more bytes.");
}

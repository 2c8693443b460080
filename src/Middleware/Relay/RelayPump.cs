using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Relay;

/// <summary>A side of a relayed connection.</summary>
internal enum RelaySide
{
    Client,
    Upstream,
}

/// <summary>
/// Forwards one direction of a relayed connection. Bytes are copied only if the target socket does not accept them at once, and the source is
/// not read while more than the high-water mark is waiting to be sent.
/// </summary>
/// <param name="connection">The connection, which is notified of forwarded bytes and of a failed source.</param>
/// <param name="source">The side that is read.</param>
/// <param name="from">The input of the source.</param>
/// <param name="to">The output of the target.</param>
/// <param name="progress">The progress of the source's connection.</param>
/// <param name="time">The clock.</param>
internal sealed class RelayPump(RelayedConnection connection, RelaySide source, PipeReader from, PipeWriter to, IConnectionProgress progress, TimeProvider time) : IOnward
{
    TransportPipeWriter IOnward.Writer => (TransportPipeWriter)to;

    void IOnward.OnPassing() => connection.OnForwarding(source);

    /// <summary>Runs until the source is closed, or either side has failed.</summary>
    /// <returns>The error of the target; null if the source was closed or has failed.</returns>
    public async Task<Exception?> RunAsync()
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = from is TransportPipeReader reader && to is TransportPipeWriter
                    ? await reader.ReadAndForwardAsync(this).ConfigureAwait(false)
                    : await from.ReadAsync().ConfigureAwait(false);
            }
            catch (Exception error) when (IsConnectionError(error))
            {
                await connection.FailAsync(source, error).ConfigureAwait(false);
                return null;
            }

            try
            {
                if (!read.Buffer.IsEmpty)
                {
                    connection.OnForwarding(source);
                }

                Write(read.Buffer);
                from.AdvanceTo(read.Buffer.End);
                ValueTask<FlushResult> flush = to.FlushAsync();
                FlushResult flushed = flush.IsCompleted || progress.ReportsLoss
                    ? await flush.ConfigureAwait(false)
                    : await DisconnectPolling.WaitAsync(flush.AsTask(), progress, time).ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    return IOutputFailure.Of(to);
                }

                if (read.IsCompleted || read.IsCanceled)
                {
                    if (!connection.EndsWithDirection() || to is not TransportPipeWriter { EndsWithClose: true })
                    {
                        await to.CompleteAsync().ConfigureAwait(false);
                    }

                    return null;
                }
            }
            catch (Exception error) when (IsConnectionError(error))
            {
                return error;
            }
        }
    }

    private void Write(in ReadOnlySequence<byte> bytes)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
        {
            if (to is TransportPipeWriter channel)
            {
                channel.WriteThrough(segment.Span);
            }
            else
            {
                to.Write(segment.Span);
            }
        }
    }

    private static bool IsConnectionError(Exception error) => error is IOException or ConnectionAbortedException or InvalidOperationException;
}

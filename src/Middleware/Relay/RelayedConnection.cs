using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Relay;

/// <summary>
/// A client's connection and an upstream's, each read into the other. Nothing is copied but what a socket does not take at once, and
/// who does not read pauses who sends: a direction is not read while more than the high-water mark waits to be sent.
/// </summary>
internal sealed class RelayedConnection(ConnectionContext client, ConnectionContext upstream, TimeSpan quiet, TimeProvider time)
{
    private Task _up = Task.CompletedTask;
    private Task _down = Task.CompletedTask;
    private int _lost;

    private enum Side
    {
        Client,
        Upstream,
    }

    /// <summary>Returns when both directions have ended, or the connection is lost on either side.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        _up = PumpAsync(client.Transport.Input, Side.Client, upstream.Transport.Output, Side.Upstream);
        _down = PumpAsync(upstream.Transport.Input, Side.Upstream, client.Transport.Output, Side.Client);
        // Where the server stops already, this is done here and now.
        using CancellationTokenRegistration told = stopping.UnsafeRegister(static relayed => _ = ((RelayedConnection)relayed!).EndWhenQuietAsync(), this);
        await _up.ConfigureAwait(false);
        await _down.ConfigureAwait(false);
    }

    private async Task EndWhenQuietAsync()
    {
        IByteStreamTransportFeature clients = ConnectionLink.Of(client);
        IByteStreamTransportFeature upstreams = ConnectionLink.Of(upstream);
        Task ended = Task.WhenAll(_up, _down);
        (long, long, long, long) before;
        do
        {
            before = Moved();
            using var done = new CancellationTokenSource();
            Task pause = Task.Delay(quiet, time, done.Token);
            await Task.WhenAny(ended, pause).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
        }
        while (!ended.IsCompleted && before != Moved());

        if (!ended.IsCompleted)
        {
            // Between two messages, as far as anybody can tell: both sides see a clean end.
            client.Transport.Input.CancelPendingRead();
            upstream.Transport.Input.CancelPendingRead();
        }

        (long, long, long, long) Moved() => (clients.BytesReceived, clients.BytesSent, upstreams.BytesReceived, upstreams.BytesSent);
    }

    private async Task PumpAsync(PipeReader from, Side source, PipeWriter to, Side destination)
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = await ReadAsync(from, to).ConfigureAwait(false);
            }
            catch (Exception error) when (IsLoss(error))
            {
                Lose(source, error);
                return;
            }

            try
            {
                Write(to, read.Buffer);
                from.AdvanceTo(read.Buffer.End);
                FlushResult flushed = await to.FlushAsync().ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    Lose(destination, new ConnectionResetException("It takes no more bytes."));
                    return;
                }

                if (read.IsCompleted || read.IsCanceled)
                {
                    await to.CompleteAsync().ConfigureAwait(false);
                    return;
                }
            }
            catch (Exception error) when (IsLoss(error))
            {
                Lose(destination, error);
                return;
            }
        }
    }

    /// <summary>What is lost on one side is reset on both, by which the other direction ends as well.</summary>
    private void Lose(Side side, Exception error)
    {
        if (Interlocked.Exchange(ref _lost, 1) != 0)
        {
            return;
        }

        if (side == Side.Client)
        {
            ConnectionLink.Of(upstream).Abort(ConnectionEndReason.Aborted, error);
            // The transport knows why its connection ended; where it does not, the middleware that ended it does.
            ConnectionLink.Of(client).Abort(
                error is TlsTruncatedException ? ConnectionEndReason.TlsTruncated : ConnectionEndReason.Aborted, error);
        }
        else
        {
            ConnectionLink.Of(client).Abort(ConnectionEndReason.UpstreamReset, error);
            ConnectionLink.Of(upstream).Abort(ConnectionEndReason.Aborted, error);
        }
    }

    private static ValueTask<ReadResult> ReadAsync(PipeReader from, PipeWriter to)
    {
        if (from is ChannelReader reader && to is ChannelWriter writer)
        {
            return reader.ReadAndPassOnAsync(writer);
        }

        return from.ReadAsync();
    }

    private static void Write(PipeWriter to, in ReadOnlySequence<byte> bytes)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
        {
            if (to is ChannelWriter channel)
            {
                channel.WriteThrough(segment.Span);
            }
            else
            {
                to.Write(segment.Span);
            }
        }
    }

    private static bool IsLoss(Exception error) => error is IOException or ConnectionAbortedException or InvalidOperationException;
}

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
    private enum Side
    {
        None,
        Client,
        Upstream,
    }

    /// <summary>Returns when both directions have ended, or the connection is lost on either side.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        Task<Loss> up = PumpAsync(client.Transport.Input, Side.Client, upstream.Transport.Output, Side.Upstream);
        Task<Loss> down = PumpAsync(upstream.Transport.Input, Side.Upstream, client.Transport.Output, Side.Client);
        Task<Loss> first = await FirstLossAsync(up, down, stopping).ConfigureAwait(false);
        Loss loss = await first.ConfigureAwait(false);
        switch (loss.Side)
        {
            case Side.Client:
                ConnectionLink.Of(upstream).Abort(ConnectionEndReason.Aborted, loss.Error);
                // The transport knows why its connection ended; where it does not, the middleware that ended it does.
                ConnectionLink.Of(client).Abort(
                    loss.Error is TlsTruncatedException ? ConnectionEndReason.TlsTruncated : ConnectionEndReason.Aborted, loss.Error);
                break;
            case Side.Upstream:
                ConnectionLink.Of(client).Abort(ConnectionEndReason.UpstreamReset, loss.Error);
                ConnectionLink.Of(upstream).Abort(ConnectionEndReason.Aborted, loss.Error);
                break;
        }

        // The other direction ends by that as well.
        await Task.WhenAll(up, down).ConfigureAwait(false);
    }

    /// <summary>Waits for both to end, or for the first that is lost.</summary>
    private async Task<Task<Loss>> FirstLossAsync(Task<Loss> up, Task<Loss> down, CancellationToken stopping)
    {
        Task<Loss> first;
        Task both = Task.WhenAll(up, down);
        Task any = Task.WhenAny(up, down);
        if (stopping.CanBeCanceled)
        {
            var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using CancellationTokenRegistration told = stopping.UnsafeRegister(static stop => ((TaskCompletionSource)stop!).TrySetResult(), stop);
            await Task.WhenAny(any, stop.Task).ConfigureAwait(false);
            if (!any.IsCompleted)
            {
                _ = EndWhenQuietAsync(both);
            }
        }

        first = await Task.WhenAny(up, down).ConfigureAwait(false);
        if ((await first.ConfigureAwait(false)).Side == Side.None)
        {
            Task<Loss> other = first == up ? down : up;
            await ((Task)other).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return other;
        }

        return first;
    }

    private async Task EndWhenQuietAsync(Task ended)
    {
        IByteStreamTransportFeature clients = ConnectionLink.Of(client);
        IByteStreamTransportFeature upstreams = ConnectionLink.Of(upstream);
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

    private static async Task<Loss> PumpAsync(PipeReader from, Side source, PipeWriter to, Side destination)
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = await from.ReadAsync().ConfigureAwait(false);
            }
            catch (Exception error) when (IsLoss(error))
            {
                return new Loss(source, error);
            }

            try
            {
                Write(to, read.Buffer);
                from.AdvanceTo(read.Buffer.End);
                FlushResult flushed = await to.FlushAsync().ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    return new Loss(destination, new ConnectionResetException("It takes no more bytes."));
                }

                if (read.IsCompleted || read.IsCanceled)
                {
                    await to.CompleteAsync().ConfigureAwait(false);
                    return default;
                }
            }
            catch (Exception error) when (IsLoss(error))
            {
                return new Loss(destination, error);
            }
        }
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

    private readonly record struct Loss(Side Side, Exception Error);
}

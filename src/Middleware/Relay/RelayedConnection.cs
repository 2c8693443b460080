using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Relay;

/// <summary>
/// A client's connection and an upstream's, each read into the other. Nothing is copied but what a socket does not take at once, and
/// who does not read pauses who sends: a direction is not read while more than the high-water mark waits to be sent.
/// </summary>
/// <param name="client">The client's connection.</param>
/// <param name="upstream">The upstream's connection.</param>
/// <param name="quiet">How long nothing moves before a stop ends the connection.</param>
/// <param name="grace">How long what one side had sent before it was lost may take to reach the other.</param>
/// <param name="time">The clock of both.</param>
internal sealed class RelayedConnection(ConnectionContext client, ConnectionContext upstream, TimeSpan quiet, TimeSpan grace, TimeProvider time)
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
        (client.Features.Get<IByteStreamTransportFeature>() as TlsTransport)?.RelaxCloseNotify();
        Task<Exception?> up = PumpAsync(client.Transport.Input, Side.Client, upstream.Transport.Output);
        Task<Exception?> down = PumpAsync(upstream.Transport.Input, Side.Upstream, client.Transport.Output);
        (_up, _down) = (up, down);

        // Where the server stops already, this is done here and now.
        using CancellationTokenRegistration told = stopping.UnsafeRegister(static relayed => _ = ((RelayedConnection)relayed!).EndWhenQuietAsync(), this);

        Task<Exception?> first = await Task.WhenAny(up, down).ConfigureAwait(false);
        Task<Exception?> second = first == up ? down : up;
        if (await first.ConfigureAwait(false) is Exception loss)
        {
            // A side that takes no more bytes may have sent some before, such as the reason: the other direction reads them, and then the loss.
            await ((Task)second).WaitAsync(grace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await LoseAsync(first == up ? Side.Upstream : Side.Client, loss).ConfigureAwait(false);
            await second.ConfigureAwait(false);
        }
        else if (await second.ConfigureAwait(false) is Exception lastLoss)
        {
            await LoseAsync(second == up ? Side.Upstream : Side.Client, lastLoss).ConfigureAwait(false);
        }
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

    /// <summary>Returns why the destination takes no more bytes; null where the source has ended or was lost.</summary>
    private async Task<Exception?> PumpAsync(PipeReader from, Side source, PipeWriter to)
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
                await LoseAsync(source, error).ConfigureAwait(false);
                return null;
            }

            try
            {
                Write(to, read.Buffer);
                from.AdvanceTo(read.Buffer.End);
                FlushResult flushed = await to.FlushAsync().ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    return IOutputFailure.Of(to);
                }

                if (read.IsCompleted || read.IsCanceled)
                {
                    await to.CompleteAsync().ConfigureAwait(false);
                    return null;
                }
            }
            catch (Exception error) when (IsLoss(error))
            {
                return error;
            }
        }
    }

    /// <summary>
    /// Resets both sides when one is lost, by which the other direction ends as well. The side that lives gets first what the lost one had
    /// sent; not where this side has given the connection up.
    /// </summary>
    private async Task LoseAsync(Side side, Exception error)
    {
        if (Interlocked.Exchange(ref _lost, 1) != 0)
        {
            return;
        }

        // The transport knows why its connection ended; where it does not, the middleware that ended it does.
        (ConnectionContext lost, ConnectionContext living) = side == Side.Client ? (client, upstream) : (upstream, client);
        ConnectionLink.Of(lost).Abort(error is TlsTruncatedException && side == Side.Client ? ConnectionEndReason.TlsTruncated : ConnectionEndReason.Aborted, error);
        ConnectionEndReason reason = side == Side.Client ? ConnectionEndReason.Aborted : ConnectionEndReason.UpstreamReset;
        IByteStreamTransportFeature link = ConnectionLink.Of(living);
        if (error is not ConnectionAbortedException && link is IOrderlyReset orderly)
        {
            // A peer that has ended without close_notify has sent everything in order: a slow side gets all of it.
            await orderly.AbortWhenSentAsync(reason, error, waitsForSlowPeer: error is TlsTruncatedException).ConfigureAwait(false);
        }
        else
        {
            link.Abort(reason, error);
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

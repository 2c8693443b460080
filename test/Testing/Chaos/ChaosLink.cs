using System.Net.Sockets;

namespace ByteStreams.Testing;

/// <summary>One connection through a <see cref="ChaosRelay"/>: two directions, which share a reset.</summary>
internal sealed class ChaosLink(ChaosRelay relay, Socket client, Socket upstream, TimeProvider time, CancellationToken stopping)
{
    private const int BufferSize = 65536;

    private readonly CancellationTokenSource _over = CancellationTokenSource.CreateLinkedTokenSource(stopping);

    /// <summary>Returns when both directions have ended, or one has reset the connection, or the relay stops. Throws what a plan throws.</summary>
    public async Task RunAsync(IEnumerable<ChaosStep> toUpstream, IEnumerable<ChaosStep> toClient)
    {
        using (_over)
        {
            await Task.WhenAll(PassAsync(client, upstream, toUpstream), PassAsync(upstream, client, toClient)).ConfigureAwait(false);
            if (stopping.IsCancellationRequested)
            {
                LeaveByReset();
            }
        }
    }

    private async Task PassAsync(Socket from, Socket to, IEnumerable<ChaosStep> plan)
    {
        try
        {
            await FollowAsync(from, to, plan).ConfigureAwait(false);
        }
        catch (Exception lost) when (lost is SocketException or OperationCanceledException)
        {
            // A side that is lost is lost for the other side too; a cancellation is the other direction's reset, or the relay's end.
            await ResetAsync().ConfigureAwait(false);
        }
        catch
        {
            await ResetAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task FollowAsync(Socket from, Socket to, IEnumerable<ChaosStep> plan)
    {
        byte[] buffer = new byte[BufferSize];
        foreach (ChaosStep step in plan)
        {
            if (!await PassAsync(from, to, buffer, step.Bytes, step.Hold).ConfigureAwait(false))
            {
                to.Shutdown(SocketShutdown.Send);
                return;
            }

            relay.Performed(step.Then);
            switch (step.Then)
            {
                case ChaosAction.Pause:
                    await Task.Delay(step.For, time, _over.Token).ConfigureAwait(false);
                    break;
                case ChaosAction.Reset:
                    await ResetAsync().ConfigureAwait(false);
                    return;
                case ChaosAction.HalfClose:
                    to.Shutdown(SocketShutdown.Send);
                    await DiscardAsync(from, buffer).ConfigureAwait(false);
                    return;
                case ChaosAction.Drop:
                    await DiscardAsync(from, buffer).ConfigureAwait(false);
                    return;
            }
        }

        while (await PassAsync(from, to, buffer, BufferSize, TimeSpan.Zero).ConfigureAwait(false))
        {
        }

        to.Shutdown(SocketShutdown.Send);
    }

    /// <summary>Passes so many bytes on. False at the end, behind what was left.</summary>
    private async Task<bool> PassAsync(Socket from, Socket to, byte[] buffer, int bytes, TimeSpan hold)
    {
        while (bytes > 0)
        {
            Memory<byte> room = buffer.AsMemory(0, Math.Min(bytes, buffer.Length));
            int count = await from.ReceiveAsync(room, _over.Token).ConfigureAwait(false);
            bool ended = count == 0;
            if (!ended && count < room.Length && hold > TimeSpan.Zero)
            {
                (count, ended) = await FillAsync(from, room, count, hold).ConfigureAwait(false);
            }

            for (int sent = 0; sent < count;)
            {
                sent += await to.SendAsync(room[sent..count], _over.Token).ConfigureAwait(false);
            }

            if (ended)
            {
                return false;
            }

            bytes -= count;
        }

        return true;
    }

    /// <summary>Receives until the room is full, the time is over, or the end has come.</summary>
    private async Task<(int Count, bool Ended)> FillAsync(Socket from, Memory<byte> room, int count, TimeSpan hold)
    {
        using var held = new CancellationTokenSource(hold, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(held.Token, _over.Token);
        while (count < room.Length)
        {
            int more;
            try
            {
                more = await from.ReceiveAsync(room[count..], either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!_over.IsCancellationRequested)
            {
                return (count, false);
            }

            if (more == 0)
            {
                return (count, true);
            }

            count += more;
        }

        return (count, false);
    }

    private async Task DiscardAsync(Socket from, byte[] buffer)
    {
        while (await from.ReceiveAsync(buffer, _over.Token).ConfigureAwait(false) > 0)
        {
        }
    }

    private async Task ResetAsync()
    {
        if (!_over.IsCancellationRequested)
        {
            await _over.CancelAsync().ConfigureAwait(false);
            LeaveByReset();
        }
    }

    private void LeaveByReset()
    {
        foreach (Socket socket in (Socket[])[client, upstream])
        {
            if (socket.AddressFamily != AddressFamily.Unix)
            {
                socket.LingerState = new LingerOption(true, 0);
            }
        }
    }
}

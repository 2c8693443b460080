using System.Buffers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>TLS as a medium: what is sent is encrypted, what is received was decrypted, the end of a direction is a close_notify.</summary>
/// <param name="tls">The TLS connection.</param>
/// <param name="below">What it lies over.</param>
internal sealed class TlsChannel(SslStream tls, DuplexPipeStream below) : ByteChannel
{
    private readonly TlsTurn _turn = below.BeginApplicationData();

    /// <summary>Whether an end without close_notify is a truncation. A record that is cut in the middle is one in any case.</summary>
    public bool RequiresCloseNotify { get; set; } = true;

    /// <summary>Called when the peer has sent too many records without application data, before the read fails.</summary>
    public Action<ConnectionAbortedException>? OnFlood { get; init; }

    /// <summary>Whether the peer has ended without close_notify, and that was a truncation.</summary>
    public bool IsTruncated { get; private set; }

    /// <summary>Whether the peer has ended without close_notify.</summary>
    public bool EndedWithoutCloseNotify { get; private set; }

    public override bool HasPeerEnded => below.HasPeerEnded;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask WaitToReceiveAsync() => _ = await ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        _turn.Enter();
        try
        {
            int count = await tls.ReadAsync(destination).ConfigureAwait(false);
            if (count > 0)
            {
                below.Records.OnData();
            }

            if (count > 0 || destination.IsEmpty || !below.HasEnded)
            {
                return count;
            }

            // SslStream does not read on after close_notify: a read that has met the end below has not seen one.
            EndedWithoutCloseNotify = true;
            return RequiresCloseNotify ? throw Truncated(null) : 0;
        }
        catch (IOException) when (below.Flood is ConnectionAbortedException flood)
        {
            OnFlood?.Invoke(flood);
            throw flood;
        }
        catch (Exception error) when (below.HasEnded && error is IOException and not (ConnectionResetException or TlsTruncatedException))
        {
            throw Truncated(error);
        }
        catch (Exception error) when (AsLoss(error) is Exception loss)
        {
            throw loss;
        }
        finally
        {
            _turn.Leave();
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        ReadOnlyMemory<byte> first = source.First;
        try
        {
            await tls.WriteAsync(first).ConfigureAwait(false);
            return first.Length;
        }
        catch (Exception error) when (AsLoss(error) is Exception loss)
        {
            throw loss;
        }
    }

    public override async ValueTask ShutdownSendAsync()
    {
        while (!_turn.TryEnter())
        {
            // A record is being decrypted.
            await Task.Yield();
        }

        Task sent;
        try
        {
            sent = tls.ShutdownAsync();
        }
        catch (Exception error) when (AsLoss(error) is Exception loss)
        {
            throw loss;
        }
        finally
        {
            _turn.Leave();
        }

        try
        {
            await sent.ConfigureAwait(false);
        }
        catch (Exception error) when (AsLoss(error) is Exception loss)
        {
            throw loss;
        }
    }

    /// <summary>The connection below does it: TLS has no reset of its own.</summary>
    public override void Reset() => Close();

    public override void Close() => tls.Dispose();

    private TlsTruncatedException Truncated(Exception? error)
    {
        (IsTruncated, EndedWithoutCloseNotify) = (true, true);
        return new TlsTruncatedException("The peer ended the TLS connection without close_notify; what it sent may have been cut.", error);
    }

    /// <summary>What the layer above calls a lost connection; null for what is no loss.</summary>
    private Exception? AsLoss(Exception error) => error switch
    {
        ConnectionResetException or ConnectionAbortedException or TlsTruncatedException => error,
        IOException { InnerException: ConnectionResetException or ConnectionAbortedException } => error.InnerException,
        // A completed pipe or a disposed stream. The stream is disposed with the connection below, which knows why it has ended; else it
        // was closed from this side.
        ObjectDisposedException or InvalidOperationException =>
            below.FindLoss() ?? new ConnectionAbortedException("The connection was closed from this side.", error),
        IOException => new ConnectionResetException($"The TLS connection was lost: {error.Message}", error),
        _ => null,
    };
}

using System.Buffers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>The TLS layer as a channel: sends are encrypted, receives return decrypted bytes, a half-close is close_notify.</summary>
/// <param name="tls">The TLS connection.</param>
/// <param name="below">The stream of encrypted bytes under it.</param>
internal sealed class TlsChannel(SslStream tls, EncryptedPipeStream below) : ByteChannel
{
    private readonly TlsStateLock _stateLock = below.BeginApplicationData();

    /// <summary>Whether EOF without close_notify is a truncation. EOF within a record always is.</summary>
    public bool RequiresCloseNotify { get; set; } = true;

    /// <summary>Called before a read fails because the peer sent too many records without application data.</summary>
    public Action<ConnectionAbortedException>? OnFlood { get; init; }

    /// <summary>Whether the peer closed without close_notify and that was a truncation.</summary>
    public bool IsTruncated { get; private set; }

    /// <summary>Whether the peer closed without close_notify.</summary>
    public bool EndedWithoutCloseNotify { get; private set; }

    public override bool HasPeerEnded => below.HasPeerEnded;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask WaitToReceiveAsync() => _ = await ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        _stateLock.Enter();
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

            // SslStream does not read after close_notify: if the read reached EOF below, there was none.
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
        catch (Exception error) when (ToTransportError(error) is Exception transportError)
        {
            throw transportError;
        }
        finally
        {
            _stateLock.Exit();
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
        catch (Exception error) when (ToTransportError(error) is Exception transportError)
        {
            throw transportError;
        }
    }

    public override async ValueTask ShutdownSendAsync()
    {
        while (!_stateLock.TryEnter())
        {
            // A record is being decrypted.
            await Task.Yield();
        }

        Task sent;
        try
        {
            sent = tls.ShutdownAsync();
        }
        catch (Exception error) when (ToTransportError(error) is Exception transportError)
        {
            throw transportError;
        }
        finally
        {
            _stateLock.Exit();
        }

        try
        {
            await sent.ConfigureAwait(false);
        }
        catch (Exception error) when (ToTransportError(error) is Exception transportError)
        {
            throw transportError;
        }
    }

    /// <summary>TLS has no reset: the connection below is reset.</summary>
    public override void Reset() => Close();

    public override void Close() => tls.Dispose();

    private TlsTruncatedException Truncated(Exception? error)
    {
        (IsTruncated, EndedWithoutCloseNotify) = (true, true);
        return new TlsTruncatedException("The peer closed the TLS connection without close_notify; the received data may be truncated.", error);
    }

    /// <summary>Returns the error of the transport's contract for an error of SslStream; null for an unrelated error.</summary>
    private Exception? ToTransportError(Exception error) => error switch
    {
        ConnectionResetException or ConnectionAbortedException or TlsTruncatedException => error,
        IOException { InnerException: ConnectionResetException or ConnectionAbortedException } => error.InnerException,
        // A completed pipe or a disposed stream. The stream is disposed with the connection below, which has the cause unless this side closed.
        ObjectDisposedException or InvalidOperationException =>
            below.FindError() ?? new ConnectionAbortedException("The connection was closed from this side.", error),
        IOException => new ConnectionResetException($"The TLS connection failed: {error.Message}", error),
        _ => null,
    };
}

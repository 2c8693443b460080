using System.Buffers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>A TLS channel of SslStream.</summary>
/// <param name="tls">The TLS connection.</param>
/// <param name="below">The stream of encrypted bytes under it.</param>
internal sealed class SslStreamChannel(SslStream tls, EncryptedPipeStream below) : TlsChannel
{
    private readonly TlsStateLock _stateLock = below.BeginApplicationData();

    public override TlsRecords Records => below.Records;

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
        catch (IOException) when (below.IsFlooded)
        {
            throw ReportFlood();
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

    public override void Close() => tls.Dispose();

    /// <summary>Returns the error of the transport's contract for an error of SslStream; null for the error itself.</summary>
    private Exception? ToTransportError(Exception error) =>
        ToTransportError(error, below.FindError) is Exception translated && !ReferenceEquals(translated, error) ? translated : null;
}

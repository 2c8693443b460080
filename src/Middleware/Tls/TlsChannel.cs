using System.Buffers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>TLS as a medium: what is sent is encrypted, what is received was decrypted, the end of a direction is a close_notify.</summary>
internal sealed class TlsChannel(SslStream tls) : ByteChannel
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask WaitToReceiveAsync() => _ = await ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        try
        {
            return await tls.ReadAsync(destination).ConfigureAwait(false);
        }
        catch (Exception error) when (AsLoss(error) is not null)
        {
            throw AsLoss(error)!;
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
        catch (Exception error) when (AsLoss(error) is not null)
        {
            throw AsLoss(error)!;
        }
    }

    public override async ValueTask ShutdownSendAsync()
    {
        try
        {
            await tls.ShutdownAsync().ConfigureAwait(false);
        }
        catch (Exception error) when (AsLoss(error) is not null)
        {
            throw AsLoss(error)!;
        }
    }

    /// <summary>The connection below does it: TLS has no reset of its own.</summary>
    public override void Reset() => Close();

    public override void Close() => tls.Dispose();

    /// <summary>What the layer above calls a lost connection; null for what is no loss.</summary>
    private static Exception? AsLoss(Exception error) => error switch
    {
        ConnectionResetException or ConnectionAbortedException => error,
        IOException { InnerException: ConnectionResetException or ConnectionAbortedException } => error.InnerException,
        // A completed pipe or a disposed stream below: the connection was closed from this side meanwhile.
        ObjectDisposedException or InvalidOperationException =>
            new ConnectionAbortedException("The connection was closed from this side.", error),
        IOException => new ConnectionResetException($"The TLS connection was lost: {error.Message}", error),
        _ => null,
    };
}

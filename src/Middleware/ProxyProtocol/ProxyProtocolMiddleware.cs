using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using ByteStreams.Connections;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.ProxyProtocol;

/// <summary>Reads the PROXY header before the next middleware runs, and sets the connection's addresses from it.</summary>
internal sealed class ProxyProtocolMiddleware : ConnectionMiddleware
{
    private readonly NetworkList _trusted;
    private readonly TimeSpan _timeout;
    private readonly int _maxHeaderBytes;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    public ProxyProtocolMiddleware(ConnectionDelegate next, ProxyProtocolOptions options, TimeProvider time, ILogger logger)
        : base(next, forwards: false)
    {
        options.Validate();
        _trusted = NetworkList.Parse(options.TrustedNetworks);
        _timeout = options.Timeout;
        _maxHeaderBytes = options.MaxHeaderBytes;
        _time = time;
        _logger = logger;
    }

    protected override async Task ServeAsync(ConnectionState connection)
    {
        ConnectionContext context = connection.Connection;
        if (!_trusted.Contains(context.RemoteEndPoint))
        {
            Reject(context, ConnectionCloseReason.ProxyUntrusted, "its address is not in TrustedNetworks");
            return;
        }

        ProxyHeader header;
        try
        {
            header = await ReceiveAsync(context).ConfigureAwait(false);
        }
        catch (ProxyHeaderException invalid)
        {
            Reject(context, ConnectionCloseReason.ProxyInvalid, invalid.Message);
            return;
        }
        catch (OperationCanceledException)
        {
            Reject(context, ConnectionCloseReason.ProxyTimeout, $"no complete PROXY header within the timeout of {_timeout.TotalSeconds:0.###} s");
            return;
        }
        catch (Exception lost) when (lost is ConnectionResetException or ConnectionAbortedException)
        {
            // A port scan or a TCP health check. The connection's close reason reports it.
            return;
        }

        var feature = new ProxyProtocolFeature(header, context.RemoteEndPoint, context.LocalEndPoint);
        context.Features.Set<IProxyProtocolFeature>(feature);
        connection.EnsureMetadata().Proxy = new ProxyMetadata(header.Source, context.RemoteEndPoint, header.Authority);
        (EndPoint? remote, EndPoint? local) = (context.RemoteEndPoint, context.LocalEndPoint);
        context.RemoteEndPoint = PlainAddress.From(header.Source) ?? remote;
        context.LocalEndPoint = PlainAddress.From(header.Destination) ?? local;
        try
        {
            await Next(context).ConfigureAwait(false);
        }
        finally
        {
            (context.RemoteEndPoint, context.LocalEndPoint) = (remote, local);
        }
    }

    private async ValueTask<ProxyHeader> ReceiveAsync(ConnectionContext context)
    {
        CancellationTokenSource? deadline = null;
        try
        {
            PipeReader input = context.Transport.Input;
            while (true)
            {
                // Most headers have arrived by now: no timer.
                if (!input.TryRead(out ReadResult read))
                {
                    deadline ??= new CancellationTokenSource(_timeout, _time);
                    read = await input.ReadAsync(deadline.Token).ConfigureAwait(false);
                }

                ReadOnlySequence<byte> buffer = read.Buffer;
                int length;
                ProxyHeader? header;
                try
                {
                    if (!TryRead(buffer, out header, out length))
                    {
                        if (read.IsCompleted)
                        {
                            throw new ProxyHeaderException(buffer.IsEmpty ? "The peer closed the connection without a PROXY header." : "The peer closed the connection within the PROXY header.");
                        }

                        input.AdvanceTo(buffer.Start, buffer.End);
                        deadline ??= new CancellationTokenSource(_timeout, _time);
                        continue;
                    }
                }
                catch (ProxyHeaderException)
                {
                    input.AdvanceTo(buffer.End);
                    throw;
                }

                input.AdvanceTo(buffer.GetPosition(length));
                return header!;
            }
        }
        finally
        {
            deadline?.Dispose();
        }
    }

    private bool TryRead(in ReadOnlySequence<byte> buffer, out ProxyHeader? header, out int length)
    {
        if (buffer.IsSingleSegment)
        {
            return ProxyHeaderReader.TryRead(buffer.FirstSpan, _maxHeaderBytes, out header, out length);
        }

        int count = (int)Math.Min(buffer.Length, Math.Max(_maxHeaderBytes, ProxyHeaderFormat.MaxLineLength));
        byte[] copy = ArrayPool<byte>.Shared.Rent(count);
        try
        {
            buffer.Slice(0, count).CopyTo(copy);
            return ProxyHeaderReader.TryRead(copy.AsSpan(0, count), _maxHeaderBytes, out header, out length);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(copy);
        }
    }

    private void Reject(ConnectionContext context, ConnectionCloseReason reason, string why)
    {
        ProxyProtocolLog.Rejected(DebugLogger.For(context, _logger), context.ConnectionId, LogText.Of(context.RemoteEndPoint), why);
        ConnectionLink.Of(context).Abort(reason, new ConnectionAbortedException(why));
    }
}

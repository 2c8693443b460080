using System.Buffers;
using System.Net;
using ByteStreams.Connections;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.ProxyProtocol;

/// <summary>Takes the PROXY header off the connection before anything else runs, and sets the connection's addresses by it.</summary>
internal sealed class ProxyProtocolMiddleware : ConnectionMiddleware
{
    private readonly NetworkList _trusted;
    private readonly TimeSpan _timeout;
    private readonly int _most;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    public ProxyProtocolMiddleware(ConnectionDelegate next, ProxyProtocolOptions options, TimeProvider time, ILogger logger)
        : base(next, forwards: false)
    {
        options.Validate();
        _trusted = NetworkList.Parse(options.TrustedNetworks);
        _timeout = options.Timeout;
        _most = options.MaxHeaderBytes;
        _time = time;
        _logger = logger;
    }

    protected override async Task ServeAsync(ConnectionState connection)
    {
        ConnectionContext context = connection.Connection;
        if (!_trusted.Contains(context.RemoteEndPoint))
        {
            Refuse(context, ConnectionEndReason.ProxyUntrusted, "its address is not in TrustedNetworks");
            return;
        }

        ProxyHeader header;
        try
        {
            header = await ReceiveAsync(context).ConfigureAwait(false);
        }
        catch (ProxyHeaderException invalid)
        {
            Refuse(context, ConnectionEndReason.ProxyInvalid, invalid.Message);
            return;
        }
        catch (OperationCanceledException)
        {
            Refuse(context, ConnectionEndReason.ProxyTimeout, $"the PROXY header took longer than {_timeout.TotalSeconds:0.###} s");
            return;
        }
        catch (Exception lost) when (lost is ConnectionResetException or ConnectionAbortedException)
        {
            // Whoever looks whether the port is open does this; the connection's own end says the rest.
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
            System.IO.Pipelines.PipeReader input = context.Transport.Input;
            while (true)
            {
                // Most headers lie there at once, and need no clock.
                if (!input.TryRead(out System.IO.Pipelines.ReadResult read))
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
                            throw new ProxyHeaderException(buffer.IsEmpty ? "The peer left without a PROXY header." : "The peer left within the PROXY header.");
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
            return ProxyHeaderReader.TryRead(buffer.FirstSpan, _most, out header, out length);
        }

        int count = (int)Math.Min(buffer.Length, Math.Max(_most, ProxyHeaderReader.LongestLine));
        byte[] copy = ArrayPool<byte>.Shared.Rent(count);
        try
        {
            buffer.Slice(0, count).CopyTo(copy);
            return ProxyHeaderReader.TryRead(copy.AsSpan(0, count), _most, out header, out length);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(copy);
        }
    }

    private void Refuse(ConnectionContext context, ConnectionEndReason reason, string why)
    {
        ProxyProtocolLog.Refused(DebugLogger.For(context, _logger), context.ConnectionId, LogText.Of(context.RemoteEndPoint), why);
        ConnectionLink.Of(context).Abort(reason, new ConnectionAbortedException(why));
    }
}

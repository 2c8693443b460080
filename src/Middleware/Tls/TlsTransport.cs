using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Tls;

/// <summary>
/// A TLS connection over another one: the pipe of plain bytes, and the feature with half-close by close_notify and a close that
/// sends it. Works over this library's transports and over Kestrel's stock one.
/// </summary>
internal sealed class TlsTransport : IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress, IKestrelConventions, IOrderlyReset, IInputOwner, IOutputOwner,
    ISslStreamFeature, ITlsHandshakeFeature, ITlsConnectionFeature, ITlsApplicationProtocolFeature
{
    private readonly ConnectionContext _connection;
    private readonly IDuplexPipe _below;
    private readonly IByteStreamTransportFeature? _linkBelow;
    private readonly IConnectionProgress? _progressBelow;
    private readonly TlsChannel _channel;
    private readonly DuplexPipeStream _raw;
    private readonly TlsSettings _settings;
    private readonly TransportPipeReader _input;
    private readonly TransportPipeWriter _output;
    private readonly Lock _gate = new();
    private readonly (int HighWater, int LowWater) _limitsBelow;
    private Task? _closing;

    private TlsTransport(
        ConnectionContext connection, SslStream stream, DuplexPipeStream raw, IDuplexPipe below, TlsSettings settings, object options)
    {
        _connection = connection;
        _below = below;
        _linkBelow = connection.Features.Get<IByteStreamTransportFeature>();
        _progressBelow = connection.Features.Get<IConnectionProgress>();
        _settings = settings;
        SslStream = stream;
        Negotiated = new NegotiatedTls(stream);
        Options = new TlsOptionsFeature(options);
        _raw = raw;
        _channel = new TlsChannel(stream, raw) { RequiresCloseNotify = settings.RequireCloseNotify ?? true, OnFlood = OnFlood };
        _limitsBelow = _linkBelow?.WriteBufferLimits ?? (65536, 16384);
        (int high, int low) = _limitsBelow;
        // A TLS record is at most 16 KiB; a block takes a few, so that one read decrypts what one receive brought.
        _input = new TransportPipeReader(_channel, largestBlock: 65536, this);
        _output = new TransportPipeWriter(_channel, high, low, this) { CoalescesFlushes = FollowsKestrel };
    }

    public SslStream SslStream { get; }

    public TlsOptionsFeature Options { get; }

    public PipeReader Input => _input;

    public PipeWriter Output => _output;

    public bool CanWriteEof => true;

    public long BytesReceived => _linkBelow?.BytesReceived ?? _input.Driver.BytesReceived;

    public long BytesSent => _linkBelow?.BytesSent ?? _output.BytesSent;

    public ConnectionEndReason EndReason => _linkBelow?.EndReason ?? ConnectionEndReason.None;

    public (int HighWater, int LowWater) WriteBufferLimits
    {
        get => _output.Limits;
        set => _output.SetLimits(value.HighWater, value.LowWater);
    }

    public long WriteBufferSize => _output.Queued + _output.UnflushedBytes;

    public bool IsWaitingForInput => _input.IsWaiting;

    public bool IsSendWaiting => _output.IsSending || _progressBelow is { IsSendWaiting: true };

    public long InputReceived => _input.Driver.BytesReceived;

    public long BufferedInput => _input.Driver.Buffered;

    public int UnfinishedInput => _raw.Records.Unfinished;

    public bool IsInputEnded => _input.Driver.IsOver;

    public bool IsOutputEnded => _output.IsCompleted;

    public bool IsClosed => _progressBelow?.IsClosed ?? false;

    public long FirstByteAt => _progressBelow?.FirstByteAt ?? 0;

    public Task OutputFinished => FinishOutputAsync();

    public bool FollowsKestrel
    {
        get => (_progressBelow as IKestrelConventions)?.FollowsKestrel ?? false;
        set
        {
            (_progressBelow as IKestrelConventions)?.FollowsKestrel = value;
            _output.CoalescesFlushes = value;
        }
    }

    public void Observe(IProgressObserver observer, bool input, bool output)
    {
        _input.Driver.Observer = input ? observer : null;
        _raw.Records.Observer = input ? observer : null;
        _output.Observer = output ? observer : null;
        // What the peer takes shows below; a direction of TLS ends here.
        _progressBelow?.Observe(observer, input: false, output);
    }

    public void Sample() => _progressBelow?.Sample();

    public IProgressObserver? Observer => _input.Driver.Observer ?? _output.Observer;

    public bool HasEndArrived => IsInputEnded || _progressBelow is { HasEndArrived: true };

    public bool ReportsLoss => _progressBelow?.ReportsLoss ?? true;

    public void ObserveEnd(IEndObserver? observer) => _progressBelow?.ObserveEnd(observer);

    public void LookForLoss() => _progressBelow?.LookForLoss();

    /// <summary>Whether this library's transport lies below: it has marks to set, and says when a connection is really closed.</summary>
    private bool IsOverOwn => _linkBelow is not (null or KestrelSocketTransportAdapter);

    /// <summary>Whether the peer has ended without close_notify, as a truncation or not.</summary>
    public bool EndedWithoutCloseNotify => _channel.EndedWithoutCloseNotify;

    /// <summary>What the handshake has agreed on.</summary>
    public NegotiatedTls Negotiated { get; }

    /// <summary>The peer's certificate, also one that <c>NegotiateClientCertificateAsync</c> has brought while the stream was open.</summary>
    public X509Certificate2? PeerCertificate => NegotiatedTls.TryGetCertificate(SslStream, out X509Certificate2? now) ? now : Negotiated.PeerCertificate;

    SslProtocols ITlsHandshakeFeature.Protocol => Negotiated.Protocol;

    TlsCipherSuite? ITlsHandshakeFeature.NegotiatedCipherSuite => Negotiated.CipherSuite;

    string ITlsHandshakeFeature.HostName => Negotiated.ServerName ?? string.Empty;

#pragma warning disable SYSLIB0058 // The interface still has these; the cipher suite says it all.
    CipherAlgorithmType ITlsHandshakeFeature.CipherAlgorithm => Negotiated.CipherAlgorithm;

    int ITlsHandshakeFeature.CipherStrength => Negotiated.CipherStrength;

    HashAlgorithmType ITlsHandshakeFeature.HashAlgorithm => Negotiated.HashAlgorithm;

    int ITlsHandshakeFeature.HashStrength => Negotiated.HashStrength;

    ExchangeAlgorithmType ITlsHandshakeFeature.KeyExchangeAlgorithm => Negotiated.KeyExchangeAlgorithm;

    int ITlsHandshakeFeature.KeyExchangeStrength => Negotiated.KeyExchangeStrength;
#pragma warning restore SYSLIB0058

    X509Certificate2? ITlsConnectionFeature.ClientCertificate
    {
        get => PeerCertificate;
        set => throw new NotSupportedException("The client's certificate is what the handshake brought.");
    }

    ReadOnlyMemory<byte> ITlsApplicationProtocolFeature.ApplicationProtocol => Negotiated.ApplicationProtocol.Protocol;

    Task<X509Certificate2?> ITlsConnectionFeature.GetClientCertificateAsync(CancellationToken cancellationToken) =>
        Task.FromResult(PeerCertificate);

    /// <summary>Does the handshake on the connection's present pipe.</summary>
    /// <param name="connection">The connection; its <c>Transport</c> is not replaced, see <see cref="Install"/>.</param>
    /// <param name="below">The pipe to protect.</param>
    /// <param name="options">
    /// <see cref="SslServerAuthenticationOptions"/>, <see cref="ServerOptionsSelectionCallback"/> or <see cref="SslClientAuthenticationOptions"/>.
    /// </param>
    /// <param name="shown">What <c>GetExtraInfo("sslcontext")</c> shows.</param>
    /// <param name="settings">How long the handshake and the close may take.</param>
    /// <param name="attempt">Of a server: gets to know what was wrong with the client.</param>
    /// <param name="cancellationToken">Ends the handshake; the connection is of no use then.</param>
    /// <exception cref="AuthenticationException">The handshake failed, or the peer left during it, or it took too long.</exception>
    /// <exception cref="ConnectionResetException">The peer has reset the connection, or it was closed from this side.</exception>
    /// <exception cref="OperationCanceledException">The token fired; it is the exception's.</exception>
    public static async Task<TlsTransport> AuthenticateAsync(
        ConnectionContext connection, IDuplexPipe below, object options, object shown, TlsSettings settings, TlsAttempt? attempt,
        CancellationToken cancellationToken)
    {
        var raw = new DuplexPipeStream(below.Input, below.Output) { MostInHandshake = settings.MostInHandshake };
        var stream = new SslStream(raw, leaveInnerStreamOpen: true);
        using var timeout = new CancellationTokenSource(settings.Handshake, settings.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await (options switch
            {
                SslServerAuthenticationOptions server => stream.AuthenticateAsServerAsync(server, both.Token),
                ServerOptionsSelectionCallback select => stream.AuthenticateAsServerAsync(select, null, both.Token),
                SslClientAuthenticationOptions client => stream.AuthenticateAsClientAsync(client, both.Token),
                _ => throw new ArgumentException("Server or client options are needed.", nameof(options)),
            }).ConfigureAwait(false);
            return new TlsTransport(connection, stream, raw, below, settings, shown);
        }
        catch (OperationCanceledException cancelled)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            // With the caller's own token, by which it recognises its cancellation; not with the linked one.
            throw cancellationToken.IsCancellationRequested ? new OperationCanceledException(cancelled.Message, cancelled, cancellationToken)
                : timeout.IsCancellationRequested ? new AuthenticationException(
                    $"The TLS handshake took longer than {settings.Handshake.TotalSeconds:0.###} s.", cancelled)
                : new ConnectionResetException("The connection was closed from this side.", cancelled);
        }
        catch (InvalidOperationException closed) when (connection.Features.Get<IByteStreamTransportFeature>() is { EndReason: not ConnectionEndReason.None })
        {
            // The pipe was completed under the handshake.
            await stream.DisposeAsync().ConfigureAwait(false);
            throw new ConnectionResetException("The connection was closed from this side.", closed);
        }
        catch (TlsHandshakeSizeException size)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            attempt?.Refuse(ConnectionEndReason.TlsHandshakeFailed, size.Message);
            throw new AuthenticationException(size.Message, size);
        }
        catch (IOException left) when (left is not ConnectionResetException)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw new AuthenticationException($"The peer left during the TLS handshake, or spoke no TLS: {left.Message}", left);
        }
        catch (Exception unread) when (attempt is { IsAwaitingHello: true }
            && unread is not (IOException or AuthenticationException or ConnectionAbortedException))
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            // Its text is about this side: an index, a certificate.
            attempt.Refuse(ConnectionEndReason.TlsHandshakeFailed, "the peer has sent no ClientHello that can be read");
            throw new AuthenticationException("The peer has sent no ClientHello that can be read.", unread);
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes this the connection's transport.</summary>
    public void Install()
    {
        _connection.Transport = this;
        SetTransport(this, this);
        IFeatureCollection features = _connection.Features;
        features.Set<ISslStreamFeature>(this);
        features.Set<ITlsHandshakeFeature>(this);
        features.Set<ITlsConnectionFeature>(this);
        features.Set<ITlsApplicationProtocolFeature>(this);
        features.Set(Options);
        if (IsOverOwn)
        {
            // Bytes wait in one queue, under one pair of marks: a record counts as sent when the medium has taken it.
            _linkBelow!.WriteBufferLimits = (0, 0);
        }
    }

    /// <summary>
    /// Takes an end without close_notify for the end, unless the options demand one: for a relay, which knows no messages that it could cut.
    /// To be called before the first read.
    /// </summary>
    public void RelaxCloseNotify() => _channel.RequiresCloseNotify = _settings.RequireCloseNotify ?? false;

    /// <summary>
    /// Restores the transport below, when nothing is read or written any more: blocks go back to their pool. What was negotiated stays
    /// among the connection's features, for those who look at it after its end.
    /// </summary>
    public void Uninstall()
    {
        _input.Complete();
        _connection.Transport = _below;
        SetTransport(_linkBelow, _progressBelow);
        if (IsOverOwn)
        {
            _linkBelow!.WriteBufferLimits = _limitsBelow;
        }
    }

    public void Close(ConnectionEndReason reason = ConnectionEndReason.None) => _ = CloseAsync(reason);

    public void Abort(ConnectionEndReason reason, Exception? cause = null)
    {
        var aborted = new ConnectionAbortedException("The connection was aborted from this side.", cause!);
        bool drops = WriteBufferSize > 0;
        _input.Fail(aborted);
        _output.Fail(aborted);
        AbortBelow(reason, cause, aborted, drops);
        Close();
    }

    private void AbortBelow(ConnectionEndReason reason, Exception? cause, ConnectionAbortedException aborted, bool drops)
    {
        if (_linkBelow is ChannelConnection own)
        {
            own.Abort(reason, cause, drops);
        }
        else if (_linkBelow is not null)
        {
            _linkBelow.Abort(reason, cause);
        }
        else
        {
            _connection.Abort(aborted);
        }
    }

    /// <summary>Within a read, under the reader's lock: the connection below goes, and the read fails by itself.</summary>
    private void OnFlood(ConnectionAbortedException flood) => AbortBelow(ConnectionEndReason.TlsRecordFlood, flood, flood, drops: false);

    public async Task AbortWhenSentAsync(ConnectionEndReason reason, Exception? cause, bool waitsForSlowPeer)
    {
        await Delivery.WaitAsync(
            _output,
            static () => true,
            waitsForSlowPeer ? () => BytesSent : null,
            waitsForSlowPeer ? Delivery.LongestWait : _settings.Shutdown,
            _settings.Time).ConfigureAwait(false);
        if (_linkBelow is IOrderlyReset below)
        {
            await below.AbortWhenSentAsync(reason, cause, waitsForSlowPeer).ConfigureAwait(false);
        }

        Abort(reason, cause);
    }

    public Task WaitClosedAsync()
    {
        if (_linkBelow is not null)
        {
            return _linkBelow.WaitClosedAsync();
        }

        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _connection.ConnectionClosed.UnsafeRegister(static source => ((TaskCompletionSource)source!).TrySetResult(), closed);
        return closed.Task;
    }

    /// <summary>Sends what was written and close_notify, and then closes the connection below; bounded by the shutdown timeout.</summary>
    public Task CloseAsync(ConnectionEndReason reason)
    {
        lock (_gate)
        {
            return _closing ??= CloseCoreAsync(reason);
        }
    }

    private async Task CloseCoreAsync(ConnectionEndReason reason)
    {
        if (reason == ConnectionEndReason.None)
        {
            // Who was first is settled before anything is sent. A close_notify was seen here; the FIN below it, by nobody yet.
            reason = _channel.IsTruncated ? ConnectionEndReason.TlsTruncated
                : _input.Driver.IsOver ? ConnectionEndReason.ClosedByPeer
                : ConnectionEndReason.ClosedLocally;
        }

        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        _output.Complete();

        // A peer that will not read before it has sent everything must be able to send, as on the plain connection.
        _input.Driver.Unread.Discard(long.MaxValue);
        using var done = new CancellationTokenSource();
        Task timeout = Task.Delay(_settings.Shutdown, _settings.Time, done.Token);
        bool inTime = await Task.WhenAny(_output.Finished, timeout).ConfigureAwait(false) == _output.Finished;
        await done.CancelAsync().ConfigureAwait(false);
        if (!inTime)
        {
            Abort(ConnectionEndReason.Aborted, new TimeoutException(
                $"What was written could not be sent within the TLS shutdown timeout of {_settings.Shutdown.TotalSeconds:0.###} s."));
        }
        else if (_linkBelow is not null)
        {
            _linkBelow.Close(reason);
        }
        else
        {
            await _below.Output.CompleteAsync().ConfigureAwait(false);
        }

        if (IsOverOwn)
        {
            _ = DisposeWhenClosedAsync();
        }
        else
        {
            await SslStream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// The native state goes with the connection, not with the next collection; and not before the close, because what a lost connection
    /// had received can still be decrypted and read.
    /// </summary>
    private async Task DisposeWhenClosedAsync()
    {
        await _linkBelow!.WaitClosedAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await SslStream.DisposeAsync().ConfigureAwait(false);
    }

    private async Task FinishOutputAsync()
    {
        Task? closing;
        lock (_gate)
        {
            closing = _closing;
        }

        if (closing is not null)
        {
            await closing.ConfigureAwait(false);
        }

        if (_progressBelow is not null)
        {
            await _progressBelow.OutputFinished.ConfigureAwait(false);
        }
    }

    long IInputOwner.AnswerCapacity => _output.AnswerCapacity;

    long IInputOwner.BufferedOutput => WriteBufferSize;

    /// <summary>The connection below reports its first byte, which is the handshake's.</summary>
    void IInputOwner.OnInputBegun()
    {
    }

    /// <summary>The connection below reports its end, and a close looks at <see cref="IsInputEnded"/>.</summary>
    void IInputOwner.OnInputEnded(Exception? loss)
    {
    }

    /// <summary>The connection below reports its loss, see <see cref="ObserveEnd"/>.</summary>
    void IInputOwner.OnLossReported()
    {
    }

    /// <summary>A close here discards without a bound.</summary>
    void IInputOwner.OnDiscarded()
    {
    }

    void IOutputOwner.OnOutputLost(Exception loss)
    {
        // The loss of the connection below is known there already.
        if (loss is ConnectionAbortedException)
        {
            Abort(ConnectionEndReason.Aborted, loss);
        }
    }

    private void SetTransport(IByteStreamTransportFeature? link, IConnectionProgress? progress)
    {
        _connection.Features.Set(link);
        _connection.Features.Set(progress);
    }
}

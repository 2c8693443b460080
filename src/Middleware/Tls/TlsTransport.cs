using System.IO.Pipelines;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Tls;

/// <summary>
/// The transport of a TLS connection: the pipe of decrypted bytes, and the transport feature, whose half-close and close send close_notify.
/// Runs over this library's transports and over Kestrel's.
/// </summary>
internal sealed class TlsTransport : IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress, IKestrelConventions, IOrderlyReset, IInputOwner, IOutputOwner
{
    private readonly ConnectionContext _connection;
    private readonly IDuplexPipe _below;
    private readonly IByteStreamTransportFeature? _linkBelow;
    private readonly IConnectionProgress? _progressBelow;
    private readonly TlsChannel _channel;
    private readonly TlsSettings _settings;
    private readonly TransportPipeReader _input;
    private readonly TransportPipeWriter _output;
    private readonly Lock _gate = new();
    private readonly (int HighWater, int LowWater) _limitsBelow;
    private Task? _closing;

    /// <param name="connection">The connection.</param>
    /// <param name="channel">The TLS layer, after its handshake.</param>
    /// <param name="features">The result of the handshake.</param>
    /// <param name="below">The pipe of encrypted bytes.</param>
    /// <param name="settings">The timeouts and limits.</param>
    /// <param name="options">The options that <c>GetExtraInfo("sslcontext")</c> returns.</param>
    public TlsTransport(
        ConnectionContext connection, TlsChannel channel, TlsFeatures features, IDuplexPipe below, TlsSettings settings, object options)
    {
        _connection = connection;
        _below = below;
        _linkBelow = connection.Features.Get<IByteStreamTransportFeature>();
        _progressBelow = connection.Features.Get<IConnectionProgress>();
        _settings = settings;
        Features = features;
        Options = new TlsOptionsFeature(options);
        _channel = channel;
        channel.RequiresCloseNotify = settings.RequireCloseNotify ?? true;
        channel.OnFlood = OnFlood;
        _limitsBelow = _linkBelow?.WriteBufferLimits ?? (65536, 16384);
        (int high, int low) = _limitsBelow;
        // A TLS record is at most 16 KiB. With blocks of four records one read decrypts the bytes of one receive.
        _input = new TransportPipeReader(_channel, largestBlock: 65536, this);
        _output = new TransportPipeWriter(_channel, high, low, this) { CoalescesFlushes = FollowsKestrel };
    }

    /// <summary>The result of the handshake, as the features of the connection.</summary>
    public TlsFeatures Features { get; }

    /// <summary>The TLS layer.</summary>
    public TlsChannel Channel => _channel;

    public TlsOptionsFeature Options { get; }

    public PipeReader Input => _input;

    public PipeWriter Output => _output;

    public bool CanWriteEof => true;

    public long BytesReceived => _linkBelow?.BytesReceived ?? _input.Driver.BytesReceived;

    public long BytesSent => _linkBelow?.BytesSent ?? _output.BytesSent;

    public ConnectionCloseReason CloseReason => _linkBelow?.CloseReason ?? ConnectionCloseReason.None;

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

    public int UnfinishedInput => _channel.Records.Unfinished;

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
        _channel.Records.Observer = input ? observer : null;
        _output.Observer = output ? observer : null;
        // The progress of output is observed below, its end here.
        _progressBelow?.Observe(observer, input: false, output);
    }

    public void Sample() => _progressBelow?.Sample();

    public IProgressObserver? Observer => _input.Driver.Observer ?? _output.Observer;

    public bool HasEndArrived => IsInputEnded || _progressBelow is { HasEndArrived: true };

    public bool ReportsLoss => _progressBelow?.ReportsLoss ?? true;

    public void ObserveEnd(IEndObserver? observer) => _progressBelow?.ObserveEnd(observer);

    public void LookForLoss() => _progressBelow?.LookForLoss();

    /// <summary>Whether the transport below is this library's: it has write limits, and reports when the connection is closed.</summary>
    private bool IsOverOwn => _linkBelow is not (null or KestrelSocketTransportAdapter);

    /// <summary>Whether the peer has closed without close_notify, whether or not that is a truncation.</summary>
    public bool EndedWithoutCloseNotify => _channel.EndedWithoutCloseNotify;

    /// <summary>Replaces the connection's transport with this one.</summary>
    public void Install()
    {
        _connection.Transport = this;
        SetTransport(this, this);
        IFeatureCollection features = _connection.Features;
        features.Set(Features as ISslStreamFeature);
        features.Set<ITlsHandshakeFeature>(Features);
        features.Set<ITlsConnectionFeature>(Features);
        features.Set<ITlsApplicationProtocolFeature>(Features);
        features.Set(Options);
        if (IsOverOwn)
        {
            // Bytes are queued once, under one pair of limits: a record counts as sent when the socket has accepted it.
            _linkBelow!.WriteBufferLimits = (0, 0);
        }
    }

    /// <summary>
    /// Accepts EOF without close_notify unless the options require it: for a relay, because it does not know where messages end. Must be called
    /// before the first read.
    /// </summary>
    public void RelaxCloseNotify() => _channel.RequiresCloseNotify = _settings.RequireCloseNotify ?? false;

    /// <summary>
    /// Restores the transport below, after the last read and write, and returns the buffers to their pool. The negotiated features stay set,
    /// because middleware reads them after the close.
    /// </summary>
    public void Uninstall()
    {
        _input.Complete();
        _channel.Detach();
        _connection.Transport = _below;
        SetTransport(_linkBelow, _progressBelow);
        if (IsOverOwn)
        {
            _linkBelow!.WriteBufferLimits = _limitsBelow;
        }
    }

    public void Close(ConnectionCloseReason reason = ConnectionCloseReason.None) => _ = CloseAsync(reason);

    public void Abort(ConnectionCloseReason reason, Exception? cause = null)
    {
        var aborted = new ConnectionAbortedException("The connection was aborted from this side.", cause!);
        bool drops = WriteBufferSize > 0;
        // Below first, and the input last: a handler whose read has failed closes, which must not send close_notify before the reset.
        AbortBelow(reason, cause, aborted, drops);
        _output.Fail(aborted);
        _input.Fail(aborted);
        Close();
    }

    private void AbortBelow(ConnectionCloseReason reason, Exception? cause, ConnectionAbortedException aborted, bool drops)
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

    /// <summary>Called within a read, under the reader's lock: aborts the connection below, and the read fails with its own error.</summary>
    private void OnFlood(ConnectionAbortedException flood) => AbortBelow(ConnectionCloseReason.TlsRecordFlood, flood, flood, drops: false);

    public async Task AbortWhenSentAsync(ConnectionCloseReason reason, Exception? cause, bool waitsForSlowPeer)
    {
        await Delivery.WaitAsync(
            _output,
            static () => true,
            waitsForSlowPeer ? () => BytesSent : null,
            waitsForSlowPeer ? Delivery.LongestWait : _settings.ShutdownTimeout,
            _settings.TimeProvider).ConfigureAwait(false);
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

    /// <summary>Sends the buffered bytes and close_notify, then closes the connection below. Aborts after the shutdown timeout.</summary>
    public Task CloseAsync(ConnectionCloseReason reason)
    {
        lock (_gate)
        {
            return _closing ??= CloseCoreAsync(reason);
        }
    }

    private async Task CloseCoreAsync(ConnectionCloseReason reason)
    {
        if (reason == ConnectionCloseReason.None)
        {
            // Decided before anything is sent: close_notify has arrived here, and the FIN after it is not read yet.
            reason = _channel.IsTruncated ? ConnectionCloseReason.TlsTruncated
                : _input.Driver.IsOver ? ConnectionCloseReason.ClosedByPeer
                : ConnectionCloseReason.ClosedLocally;
        }

        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        _output.Complete();

        // A peer that sends all of its bytes before it reads must be able to send, as on a plain connection.
        _input.Driver.Unread.Discard(long.MaxValue);
        using var done = new CancellationTokenSource();
        Task timeout = Task.Delay(_settings.ShutdownTimeout, _settings.TimeProvider, done.Token);
        bool inTime = await Task.WhenAny(_output.Finished, timeout).ConfigureAwait(false) == _output.Finished;
        await done.CancelAsync().ConfigureAwait(false);
        if (!inTime)
        {
            Abort(ConnectionCloseReason.Aborted, new TimeoutException(
                $"The TLS close timed out: buffered bytes and close_notify were not sent within {_settings.ShutdownTimeout.TotalSeconds:0.###} s."));
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
            _channel.Close();
        }
    }

    /// <summary>
    /// Frees the native state when the connection is closed, not at the next garbage collection. Not before: bytes that arrived before a
    /// disconnect can still be decrypted and read.
    /// </summary>
    private async Task DisposeWhenClosedAsync()
    {
        await _linkBelow!.WaitClosedAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _channel.Close();
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

    /// <summary>Not reported: the first byte of the connection below is the handshake's.</summary>
    void IInputOwner.OnInputBegun()
    {
    }

    /// <summary>Not reported: the connection below reports EOF, and a close reads <see cref="IsInputEnded"/>.</summary>
    void IInputOwner.OnInputEnded(Exception? loss)
    {
    }

    /// <summary>Not reported: the connection below reports a disconnect, see <see cref="ObserveEnd"/>.</summary>
    void IInputOwner.OnLossReported()
    {
    }

    /// <summary>Not needed: a close discards without a limit.</summary>
    void IInputOwner.OnDiscarded()
    {
    }

    void IOutputOwner.OnOutputLost(Exception loss)
    {
        // The connection below has reported a disconnect itself.
        if (loss is ConnectionAbortedException)
        {
            Abort(ConnectionCloseReason.Aborted, loss);
        }
    }

    private void SetTransport(IByteStreamTransportFeature? link, IConnectionProgress? progress)
    {
        _connection.Features.Set(link);
        _connection.Features.Set(progress);
    }
}

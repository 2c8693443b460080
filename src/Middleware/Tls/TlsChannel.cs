using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>The TLS layer as a channel: sends are encrypted, receives return decrypted bytes, a half-close is close_notify.</summary>
internal abstract class TlsChannel : ByteChannel
{
    /// <summary>Whether EOF without close_notify is a truncation. EOF within a record always is.</summary>
    public bool RequiresCloseNotify { get; set; } = true;

    /// <summary>Called before a read fails because the peer sent too many records without application data.</summary>
    public Action<ConnectionAbortedException>? OnFlood { get; set; }

    /// <summary>Whether the peer closed without close_notify and that was a truncation.</summary>
    public bool IsTruncated { get; private set; }

    /// <summary>Whether the peer closed without close_notify.</summary>
    public bool EndedWithoutCloseNotify { get; protected set; }

    /// <summary>The framing of the received records.</summary>
    public abstract TlsRecords Records { get; }

    /// <summary>The error of reads after the peer has sent too many records without application data; null before that.</summary>
    protected ConnectionAbortedException? Flood { get; private set; }

    /// <summary>Called after the last read and write, before the pipe below is completed.</summary>
    public virtual void Detach()
    {
    }

    /// <summary>TLS has no reset: the connection below is reset.</summary>
    public override void Reset() => Close();

    /// <summary>Records that the peer has sent too many records without application data.</summary>
    protected ConnectionAbortedException ReportFlood()
    {
        Flood = new ConnectionAbortedException(
            $"The peer sent more than {TlsRecords.MaxWithoutData} consecutive TLS records without application data; the connection was aborted.");
        OnFlood?.Invoke(Flood);
        return Flood;
    }

    /// <summary>Records that the peer's bytes are truncated. Returns the error of the read.</summary>
    protected TlsTruncatedException Truncated(Exception? error)
    {
        (IsTruncated, EndedWithoutCloseNotify) = (true, true);
        return new TlsTruncatedException("The peer closed the TLS connection without close_notify; the received data may be truncated.", error);
    }

    /// <summary>Returns the error of the transport's contract for an error of the TLS layer or of the pipe below; the error itself if it is unrelated.</summary>
    /// <param name="error">The error.</param>
    /// <param name="findError">Returns the error that the pipe below has failed with.</param>
    protected static Exception ToTransportError(Exception error, Func<Exception?> findError) => error switch
    {
        ConnectionResetException or ConnectionAbortedException or TlsTruncatedException => error,
        IOException { InnerException: ConnectionResetException or ConnectionAbortedException } => error.InnerException,
        // A completed pipe or a disposed session. It is disposed with the connection below, which has the cause unless this side closed.
        ObjectDisposedException or InvalidOperationException =>
            findError() ?? new ConnectionAbortedException("The connection was closed from this side.", error),
        IOException => new ConnectionResetException($"The TLS connection failed: {error.Message}", error),
        _ => error,
    };
}

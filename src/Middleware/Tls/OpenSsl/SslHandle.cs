using System.Runtime.InteropServices;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// Owns an SSL and the handle by which OpenSSL's callbacks find its <see cref="OpenSslSession"/>. The handle is weak, so that the finalizer
/// frees a session that was never disposed.
/// </summary>
internal sealed class SslHandle : SafeHandle
{
    private GCHandle _session;

    public SslHandle(nint ssl, OpenSslSession session)
        : base(0, ownsHandle: true)
    {
        _session = GCHandle.Alloc(session, GCHandleType.Weak);
        SetHandle(ssl);
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>What callbacks get; see <see cref="Find"/>.</summary>
    public nint CallbackData => GCHandle.ToIntPtr(_session);

    /// <summary>Returns the session of a callback. A callback runs within a call of its session, which therefore is alive.</summary>
    public static OpenSslSession Find(nint callbackData) => (OpenSslSession)GCHandle.FromIntPtr(callbackData).Target!;

    protected override bool ReleaseHandle()
    {
        LibSsl.SSL_free(handle);
        _session.Free();
        return true;
    }
}

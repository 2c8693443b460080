using System.Security.Cryptography;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>Whether OpenSSL 3 can be used, and its contexts without a certificate.</summary>
internal static class OpenSslLibrary
{
    private const nuint OpenSsl3 = 0x30000000;

    /// <summary>
    /// The cipher suites of TLS 1.2: forward secrecy and authenticated encryption (BCP 195). Those of TLS 1.3 are OpenSSL's, and all are.
    /// </summary>
    private const string Tls12Ciphers =
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
        + ":ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";

    /// <summary>Why OpenSSL cannot be used on this machine; null if it can.</summary>
    public static string? Missing { get; } = FindMissing();

    /// <summary>The context of clients without a certificate.</summary>
    public static SslContextHandle ClientContext { get; } = Missing is null ? CreateContext() : new SslContextHandle();

    /// <summary>Creates a context for either side.</summary>
    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL failed.</exception>
    public static unsafe SslContextHandle CreateContext()
    {
        SslContextHandle context = LibSsl.SSL_CTX_new(LibSsl.TLS_method());
        if (context.IsInvalid)
        {
            throw OpenSslError.ToException("OpenSSL cannot create a context");
        }

        _ = LibSsl.SSL_CTX_set_options(context, LibSsl.OptionNoCompression | LibSsl.OptionNoRenegotiation);
        _ = LibSsl.SSL_CTX_ctrl(context, LibSsl.ControlMode, LibSsl.ModeReleaseBuffers | LibSsl.ModeAcceptMovingWriteBuffer, 0);
        // No sessions in memory: a server's are in the clients' tickets.
        _ = LibSsl.SSL_CTX_ctrl(context, LibSsl.ControlSetSessionCacheMode, 0, 0);
        Check(LibSsl.SSL_CTX_set_cipher_list(context, Tls12Ciphers));
        LibSsl.SSL_CTX_set_cert_verify_callback(context, &OpenSslCallbacks.Verify, 0);
        LibSsl.SSL_CTX_set_alpn_select_cb(context, &OpenSslCallbacks.SelectProtocol, 0);
        return context;
    }

    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL returned no success.</exception>
    public static void Check(int result)
    {
        if (result != 1)
        {
            throw OpenSslError.ToException("OpenSSL refused the TLS options");
        }
    }

    /// <summary>
    /// Private keys are passed on as handles, so that keys in hardware work: .NET and this library must have loaded the same OpenSSL.
    /// </summary>
    private static string? FindMissing()
    {
        if (!OperatingSystem.IsLinux())
        {
            return "the OpenSSL engine is for Linux";
        }

        if (!Environment.Is64BitProcess)
        {
            return "the OpenSSL engine is for 64-bit processes";
        }

        try
        {
            // First .NET initializes OpenSSL: without OpenSSL's handler at exit, which would free what other threads still use.
            _ = SHA256.HashData([]);
            nuint loaded = LibSsl.OpenSSL_version_num();
            _ = LibSsl.TLS_method();
            return loaded < OpenSsl3 ? $"OpenSSL 3 is needed, and version 0x{loaded:x} was loaded"
                : loaded != (nuint)SafeEvpPKeyHandle.OpenSslVersion ? $".NET uses another OpenSSL (0x{SafeEvpPKeyHandle.OpenSslVersion:x}) than libssl.so.3 (0x{loaded:x})"
                : null;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            return $"libssl.so.3 cannot be loaded ({error.Message})";
        }
    }
}

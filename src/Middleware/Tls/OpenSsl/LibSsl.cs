using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// The functions of OpenSSL 3 that this library calls, and their constants (ssl.h, bio.h, x509_vfy.h). Functions that may call back or take long
/// run as ordinary calls; those that only read a field suppress the GC transition.
/// </summary>
[SuppressMessage("Naming", "CA1707", Justification = "The names of OpenSSL.")]
internal static unsafe partial class LibSsl
{
    public const int ErrorWantRead = 2;
    public const int ErrorZeroReturn = 6;

    public const int Tls10 = 0x301;
    public const int Tls11 = 0x302;
    public const int Tls12 = 0x303;
    public const int Tls13 = 0x304;

    /// <summary>SSL_MODE_ENABLE_PARTIAL_WRITE is not set: a write encrypts all of its bytes.</summary>
    public const int ModeAcceptMovingWriteBuffer = 0x2;
    public const int ModeReleaseBuffers = 0x10;

    public const ulong OptionNoTicket = 1UL << 14;
    public const ulong OptionNoCompression = 1UL << 17;
    public const ulong OptionNoRenegotiation = 1UL << 30;

    public const int ControlMode = 33;
    public const int ControlSetSessionCacheMode = 44;
    public const int ControlSetServerName = 55;
    public const int ControlAddChainCertificate = 89;
    public const int ControlSetMinVersion = 123;
    public const int ControlSetMaxVersion = 124;

    public const int VerifyPeer = 1;
    public const int VerifyFailIfNoPeerCertificate = 2;

    public const int ClientHelloSuccess = 1;
    public const int ClientHelloError = 0;

    public const int AlertInternalError = 80;

    public const int ExtensionOk = 0;
    public const int ExtensionAlertFatal = 2;
    public const int ExtensionNoAcknowledgement = 3;

    public const int ExtensionServerName = 0;

    /// <summary>BIO_TYPE_SOURCE_SINK.</summary>
    public const int BioSourceSink = 0x400;
    public const int BioFlagsRead = 1;
    public const int BioFlagsShouldRetry = 8;
    public const int BioControlFlush = 11;

    // The verification errors, each with the alert that OpenSSL sends for it.

    /// <summary>X509_V_ERR_CERT_HAS_EXPIRED: certificate_expired.</summary>
    public const int VerifyErrorExpired = 10;

    /// <summary>X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknown_ca.</summary>
    public const int VerifyErrorUnknownAuthority = 20;

    /// <summary>X509_V_ERR_CERT_REVOKED: certificate_revoked.</summary>
    public const int VerifyErrorRevoked = 23;

    /// <summary>X509_V_ERR_CERT_REJECTED: bad_certificate.</summary>
    public const int VerifyErrorRejected = 28;

    /// <summary>X509_V_ERR_APPLICATION_VERIFICATION: handshake_failure.</summary>
    public const int VerifyErrorApplication = 50;

    /// <summary>X509_V_ERR_HOSTNAME_MISMATCH: bad_certificate.</summary>
    public const int VerifyErrorHostName = 62;

    /// <summary>ERR_R_... of the library SSL: the server requires a certificate, and the client has sent none.</summary>
    public const int ReasonNoPeerCertificate = 199;

    private const string Ssl = "libssl.so.3";
    private const string Crypto = "libcrypto.so.3";

    [LibraryImport(Crypto)]
    public static partial nuint OpenSSL_version_num();

    [LibraryImport(Ssl)]
    public static partial nint TLS_method();

    [LibraryImport(Ssl)]
    public static partial SslContextHandle SSL_CTX_new(nint method);

    [LibraryImport(Ssl)]
    public static partial void SSL_CTX_free(nint context);

    [LibraryImport(Ssl)]
    public static partial long SSL_CTX_ctrl(SslContextHandle context, int command, long number, nint argument);

    [LibraryImport(Ssl)]
    public static partial ulong SSL_CTX_set_options(SslContextHandle context, ulong options);

    [LibraryImport(Ssl)]
    public static partial int SSL_CTX_set_num_tickets(SslContextHandle context, nuint count);

    [LibraryImport(Ssl)]
    public static partial long SSL_CTX_set_timeout(SslContextHandle context, long seconds);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SSL_CTX_set_cipher_list(SslContextHandle context, string list);

    [LibraryImport(Ssl)]
    public static partial int SSL_CTX_use_certificate(SslContextHandle context, X509Handle certificate);

    [LibraryImport(Ssl)]
    public static partial int SSL_CTX_use_PrivateKey(SslContextHandle context, SafeHandle key);

    [LibraryImport(Ssl)]
    public static partial void SSL_CTX_set_client_hello_cb(SslContextHandle context, delegate* unmanaged[Cdecl]<nint, int*, nint, int> callback, nint argument);

    [LibraryImport(Ssl)]
    public static partial void SSL_CTX_set_cert_verify_callback(SslContextHandle context, delegate* unmanaged[Cdecl]<nint, nint, int> callback, nint argument);

    [LibraryImport(Ssl)]
    public static partial void SSL_CTX_set_alpn_select_cb(
        SslContextHandle context, delegate* unmanaged[Cdecl]<nint, byte**, byte*, byte*, uint, nint, int> callback, nint argument);

    [LibraryImport(Ssl)]
    public static partial int SSL_CTX_set_tlsext_ticket_key_evp_cb(
        SslContextHandle context, delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint, nint, int, int> callback);

    [LibraryImport(Ssl)]
    public static partial nint SSL_new(SslContextHandle context);

    [LibraryImport(Ssl)]
    public static partial void SSL_free(nint ssl);

    [LibraryImport(Ssl)]
    public static partial void SSL_set_bio(nint ssl, nint read, nint write);

    [LibraryImport(Ssl)]
    [SuppressGCTransition]
    public static partial int SSL_set_ex_data(nint ssl, int index, nint data);

    [LibraryImport(Ssl)]
    [SuppressGCTransition]
    public static partial nint SSL_get_ex_data(nint ssl, int index);

    [LibraryImport(Ssl)]
    public static partial int SSL_get_ex_data_X509_STORE_CTX_idx();

    [LibraryImport(Ssl)]
    public static partial long SSL_ctrl(nint ssl, int command, long number, nint argument);

    [LibraryImport(Ssl)]
    public static partial ulong SSL_set_options(nint ssl, ulong options);

    [LibraryImport(Ssl)]
    public static partial void SSL_set_accept_state(nint ssl);

    [LibraryImport(Ssl)]
    public static partial void SSL_set_connect_state(nint ssl);

    [LibraryImport(Ssl)]
    public static partial nint SSL_set_SSL_CTX(nint ssl, SslContextHandle context);

    [LibraryImport(Ssl)]
    public static partial void SSL_set_verify(nint ssl, int mode, nint callback);

    [LibraryImport(Ssl)]
    public static partial int SSL_set_session_id_context(nint ssl, byte* id, uint length);

    [LibraryImport(Ssl)]
    public static partial int SSL_set_num_tickets(nint ssl, nuint count);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SSL_set_cipher_list(nint ssl, string list);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SSL_set_ciphersuites(nint ssl, string list);

    [LibraryImport(Ssl)]
    public static partial nint SSL_CIPHER_find(nint ssl, byte* id);

    [LibraryImport(Ssl)]
    public static partial nint SSL_CIPHER_get_name(nint cipher);

    [LibraryImport(Ssl)]
    public static partial ushort SSL_CIPHER_get_protocol_id(nint cipher);

    [LibraryImport(Ssl)]
    public static partial int SSL_set_alpn_protos(nint ssl, byte* protocols, uint length);

    [LibraryImport(Ssl)]
    public static partial void SSL_set_cert_cb(nint ssl, delegate* unmanaged[Cdecl]<nint, nint, int> callback, nint argument);

    [LibraryImport(Ssl)]
    public static partial nint SSL_get0_peer_CA_list(nint ssl);

    [LibraryImport(Ssl)]
    public static partial int SSL_use_certificate(nint ssl, X509Handle certificate);

    [LibraryImport(Ssl)]
    public static partial int SSL_use_PrivateKey(nint ssl, SafeHandle key);

    [LibraryImport(Ssl)]
    public static partial int SSL_client_hello_get0_ext(nint ssl, uint type, byte** data, nuint* length);

    [LibraryImport(Ssl)]
    public static partial int SSL_do_handshake(nint ssl);

    [LibraryImport(Ssl)]
    public static partial int SSL_read(nint ssl, byte* destination, int length);

    [LibraryImport(Ssl)]
    public static partial int SSL_write(nint ssl, byte* source, int length);

    [LibraryImport(Ssl)]
    [SuppressGCTransition]
    public static partial int SSL_pending(nint ssl);

    [LibraryImport(Ssl)]
    public static partial int SSL_shutdown(nint ssl);

    [LibraryImport(Ssl)]
    [SuppressGCTransition]
    public static partial int SSL_get_error(nint ssl, int result);

    [LibraryImport(Ssl)]
    public static partial int SSL_version(nint ssl);

    [LibraryImport(Ssl)]
    public static partial int SSL_session_reused(nint ssl);

    [LibraryImport(Ssl)]
    public static partial nint SSL_get_current_cipher(nint ssl);

    [LibraryImport(Ssl)]
    public static partial void SSL_get0_alpn_selected(nint ssl, byte** protocol, uint* length);

    [LibraryImport(Ssl)]
    public static partial nint SSL_get0_peer_certificate(nint ssl);

    [LibraryImport(Crypto)]
    public static partial int BIO_get_new_index();

    [LibraryImport(Crypto, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint BIO_meth_new(int type, string name);

    [LibraryImport(Crypto)]
    public static partial int BIO_meth_set_read(nint method, delegate* unmanaged[Cdecl]<nint, byte*, int, int> read);

    [LibraryImport(Crypto)]
    public static partial int BIO_meth_set_write(nint method, delegate* unmanaged[Cdecl]<nint, byte*, int, int> write);

    [LibraryImport(Crypto)]
    public static partial int BIO_meth_set_ctrl(nint method, delegate* unmanaged[Cdecl]<nint, int, long, nint, long> control);

    [LibraryImport(Crypto)]
    public static partial nint BIO_new(nint method);

    [LibraryImport(Crypto)]
    public static partial void BIO_set_init(nint bio, int isInitialized);

    [LibraryImport(Crypto)]
    public static partial void BIO_set_data(nint bio, nint data);

    [LibraryImport(Crypto)]
    [SuppressGCTransition]
    public static partial nint BIO_get_data(nint bio);

    [LibraryImport(Crypto)]
    [SuppressGCTransition]
    public static partial void BIO_set_flags(nint bio, int flags);

    [LibraryImport(Crypto)]
    [SuppressGCTransition]
    public static partial void BIO_clear_flags(nint bio, int flags);

    [LibraryImport(Crypto)]
    [SuppressGCTransition]
    public static partial void ERR_clear_error();

    [LibraryImport(Crypto)]
    public static partial ulong ERR_get_error();

    [LibraryImport(Crypto)]
    public static partial void ERR_error_string_n(ulong error, byte* text, nuint length);

    [LibraryImport(Crypto)]
    public static partial X509Handle d2i_X509(nint reuse, byte** data, long length);

    [LibraryImport(Crypto)]
    public static partial int i2d_X509(nint certificate, byte** data);

    [LibraryImport(Crypto)]
    public static partial int i2d_X509_NAME(nint name, byte** data);

    [LibraryImport(Crypto)]
    public static partial void X509_free(nint certificate);

    [LibraryImport(Crypto)]
    public static partial nint X509_STORE_CTX_get_ex_data(nint store, int index);

    [LibraryImport(Crypto)]
    public static partial nint X509_STORE_CTX_get0_cert(nint store);

    [LibraryImport(Crypto)]
    public static partial nint X509_STORE_CTX_get0_untrusted(nint store);

    [LibraryImport(Crypto)]
    public static partial void X509_STORE_CTX_set_error(nint store, int error);

    [LibraryImport(Crypto)]
    public static partial int OPENSSL_sk_num(nint stack);

    [LibraryImport(Crypto)]
    public static partial nint OPENSSL_sk_value(nint stack, int index);

    [LibraryImport(Crypto)]
    public static partial nint EVP_aes_256_cbc();

    [LibraryImport(Crypto)]
    public static partial int EVP_EncryptInit_ex(nint context, nint cipher, nint engine, byte* key, byte* iv);

    [LibraryImport(Crypto)]
    public static partial int EVP_DecryptInit_ex(nint context, nint cipher, nint engine, byte* key, byte* iv);

    [LibraryImport(Crypto)]
    public static partial int EVP_MAC_CTX_set_params(nint context, Parameter* parameters);

    /// <summary>OSSL_PARAM.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Parameter
    {
        public const uint Utf8String = 4;
        public const uint OctetString = 5;

        public byte* Key;
        public uint Type;
        public void* Data;
        public nuint Size;
        public nuint ReturnSize;
    }
}

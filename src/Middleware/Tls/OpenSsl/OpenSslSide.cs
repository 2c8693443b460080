using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Runtime.ExceptionServices;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// What one side of a handshake decides, called by OpenSSL within the handshake; and what was negotiated. An error of a callback ends the
/// handshake, see <see cref="ThrowIfFailed"/>.
/// </summary>
internal abstract unsafe class OpenSslSide
{
    /// <summary>Of <see cref="SelectProtocol"/>: this side has no application protocols.</summary>
    public const int NoProtocols = -1;

    private const int NoCommonProtocol = -2;

    private ExceptionDispatchInfo? _error;

    public SslProtocols Protocol { get; private set; }

    public TlsCipherSuite CipherSuite { get; private set; }

    public SslApplicationProtocol ApplicationProtocol { get; private set; }

    /// <summary>Whether the handshake resumed a session.</summary>
    public bool IsResumed { get; private set; }

    /// <summary>The peer's certificate, which was accepted; null for none.</summary>
    public X509Certificate2? PeerCertificate { get; protected set; }

    /// <summary>The requested server name (SNI); null for none.</summary>
    public abstract string? ServerName { get; }

    /// <summary>Why the peer's certificate was refused; null if it was not.</summary>
    public abstract string? Refusal { get; }

    /// <summary>Sets what is known before the handshake.</summary>
    public abstract void Begin(nint ssl);

    /// <summary>Throws the error of a callback, and of a peer that is not accepted after a handshake that OpenSSL has completed.</summary>
    public abstract void ThrowIfRefused();

    /// <summary>Throws the error of a callback.</summary>
    public void ThrowIfFailed() => _error?.Throw();

    /// <summary>Reads what was negotiated.</summary>
    public void Complete(nint ssl)
    {
        Protocol = LibSsl.SSL_version(ssl) switch
        {
            LibSsl.Tls13 => SslProtocols.Tls13,
            LibSsl.Tls12 => SslProtocols.Tls12,
#pragma warning disable SYSLIB0039, CA5397 // Only reported.
            LibSsl.Tls11 => SslProtocols.Tls11,
            _ => SslProtocols.Tls,
#pragma warning restore SYSLIB0039, CA5397
        };
        CipherSuite = (TlsCipherSuite)LibSsl.SSL_CIPHER_get_protocol_id(LibSsl.SSL_get_current_cipher(ssl));
        byte* protocol;
        uint length;
        LibSsl.SSL_get0_alpn_selected(ssl, &protocol, &length);
        ApplicationProtocol = length == 0 ? default : new SslApplicationProtocol(new ReadOnlySpan<byte>(protocol, (int)length).ToArray());
        IsResumed = LibSsl.SSL_session_reused(ssl) == 1;
        if (IsResumed && LibSsl.SSL_get0_peer_certificate(ssl) is nint certificate and not 0)
        {
            PeerCertificate = X509CertificateLoader.LoadCertificate(X509Handle.Encode(certificate));
        }
    }

    /// <summary>Judges the peer's certificate. Returns 1 if it is accepted.</summary>
    public int Verify(nint store)
    {
        X509Certificate2Collection others = [];
        try
        {
            X509Certificate2 leaf = X509CertificateLoader.LoadCertificate(X509Handle.Encode(LibSsl.X509_STORE_CTX_get0_cert(store)));
            nint sent = LibSsl.X509_STORE_CTX_get0_untrusted(store);
            // The first one is the leaf.
            for (int i = 1; i < LibSsl.OPENSSL_sk_num(sent); i++)
            {
                others.Add(X509CertificateLoader.LoadCertificate(X509Handle.Encode(LibSsl.OPENSSL_sk_value(sent, i))));
            }

            int error = Judge(leaf, others);
            LibSsl.X509_STORE_CTX_set_error(store, error);
            if (error != 0)
            {
                leaf.Dispose();
                return 0;
            }

            PeerCertificate = leaf;
            return 1;
        }
        catch (Exception error)
        {
            Fail(error);
            LibSsl.X509_STORE_CTX_set_error(store, LibSsl.VerifyErrorRejected);
            return 0;
        }
        finally
        {
            foreach (X509Certificate2 other in others)
            {
                other.Dispose();
            }
        }
    }

    /// <inheritdoc cref="SelectProtocol"/>
    public int TrySelectProtocol(ReadOnlySpan<byte> offered)
    {
        try
        {
            return SelectProtocol(offered);
        }
        catch (Exception error)
        {
            // Of the application's list.
            Fail(error);
            return NoCommonProtocol;
        }
    }

    /// <summary>
    /// Selects an application protocol. Returns its index in the offered ones (RFC 7301, 3.1), <see cref="NoProtocols"/>, or another number if
    /// none is common.
    /// </summary>
    private int SelectProtocol(ReadOnlySpan<byte> offered)
    {
        IList<SslApplicationProtocol>? own = Protocols;
        if (own is null or { Count: 0 })
        {
            return NoProtocols;
        }

        foreach (SslApplicationProtocol protocol in own)
        {
            for (int i = 0; i < offered.Length; i += offered[i] + 1)
            {
                if (offered.Slice(i + 1, offered[i]).SequenceEqual(protocol.Protocol.Span))
                {
                    return i;
                }
            }
        }

        return NoCommonProtocol;
    }

    /// <summary>Accepts a ClientHello with its extension server_name. Returns whether the handshake goes on.</summary>
    public virtual bool TryAcceptHello(nint ssl, ReadOnlySpan<byte> serverNames) => true;

    /// <summary>Selects the certificate of a client whose server requests one. Returns whether the handshake goes on.</summary>
    public virtual bool TrySelectCertificate(nint ssl) => true;

    /// <summary>Encrypts or decrypts a session ticket, see SSL_CTX_set_tlsext_ticket_key_evp_cb.</summary>
    public virtual int ProtectTicket(nint ssl, byte* name, byte* iv, nint cipher, nint mac, bool encrypts) => 0;

    /// <summary>The application protocols in order of preference.</summary>
    protected abstract IList<SslApplicationProtocol>? Protocols { get; }

    /// <summary>Judges the peer's certificate. Returns zero, or OpenSSL's verification error.</summary>
    protected abstract int Judge(X509Certificate2 leaf, X509Certificate2Collection others);

    /// <summary>Keeps the error of a callback.</summary>
    protected void Fail(Exception error) => _error ??= ExceptionDispatchInfo.Capture(error);

    /// <summary>Restricts the versions; <c>None</c> is TLS 1.2 and 1.3.</summary>
    protected static void SetVersions(nint ssl, SslProtocols protocols)
    {
#pragma warning disable SYSLIB0039, CA5397, CA5398 // The caller's options.
        (SslProtocols Flag, int Version)[] all =
            [(SslProtocols.Tls, LibSsl.Tls10), (SslProtocols.Tls11, LibSsl.Tls11), (SslProtocols.Tls12, LibSsl.Tls12), (SslProtocols.Tls13, LibSsl.Tls13)];
        protocols = protocols == SslProtocols.None ? SslProtocols.Tls12 | SslProtocols.Tls13 : protocols;
#pragma warning restore SYSLIB0039, CA5397, CA5398
        int minimum = 0;
        int maximum = 0;
        foreach ((SslProtocols flag, int version) in all)
        {
            if ((protocols & flag) != 0)
            {
                minimum = minimum == 0 ? version : minimum;
                maximum = version;
            }
        }

        if (minimum == 0)
        {
            throw new NotSupportedException($"EnabledSslProtocols is {protocols}: OpenSSL 3 has TLS 1.0 to 1.3 only.");
        }

        OpenSslLibrary.Check((int)LibSsl.SSL_ctrl(ssl, LibSsl.ControlSetMinVersion, minimum, 0));
        OpenSslLibrary.Check((int)LibSsl.SSL_ctrl(ssl, LibSsl.ControlSetMaxVersion, maximum, 0));
    }

    /// <summary>Restricts the cipher suites.</summary>
    [SuppressMessage("Interoperability", "CA1416", Justification = "OpenSsl is chosen on Linux only.")]
    protected static void SetCipherSuites(nint ssl, CipherSuitesPolicy? policy)
    {
        if (policy is null)
        {
            return;
        }

        byte* id = stackalloc byte[2];
        var old = new StringBuilder();
        var current = new StringBuilder();
        foreach (TlsCipherSuite suite in policy.AllowedCipherSuites)
        {
            id[0] = (byte)((int)suite >> 8);
            id[1] = (byte)suite;
            nint cipher = LibSsl.SSL_CIPHER_find(ssl, id);
            if (cipher != 0)
            {
                bool isTls13 = ((int)suite >> 8) == 0x13;
                _ = (isTls13 ? current : old).Append(':').Append(new string((sbyte*)LibSsl.SSL_CIPHER_get_name(cipher)));
            }
        }

        if (old.Length + current.Length == 0)
        {
            throw new AuthenticationException("OpenSSL has none of the cipher suites that the CipherSuitesPolicy allows.");
        }

        OpenSslLibrary.Check(LibSsl.SSL_set_ciphersuites(ssl, current.Length == 0 ? "" : current.ToString(1, current.Length - 1)));
        if (old.Length > 0)
        {
            OpenSslLibrary.Check(LibSsl.SSL_set_cipher_list(ssl, old.ToString(1, old.Length - 1)));
        }
        else
        {
            // No suite of older versions is allowed, and OpenSSL does not take an empty list.
            OpenSslLibrary.Check((int)LibSsl.SSL_ctrl(ssl, LibSsl.ControlSetMinVersion, LibSsl.Tls13, 0));
        }
    }
}

using System.Buffers.Binary;
using System.Globalization;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>A server: selects its options by the ClientHello, and judges the client's certificate.</summary>
/// <param name="select">Returns the options for a server name.</param>
/// <param name="handshake">Records the ClientHello and the rejection; has the scope of resumptions.</param>
/// <param name="tickets">The keys of session tickets.</param>
/// <param name="sender">The first argument of the options' callbacks.</param>
internal sealed unsafe class OpenSslServerSide(TlsServerSelection select, TlsHandshakeContext handshake, TicketKeys tickets, object sender) : OpenSslSide
{
    private static readonly IdnMapping Idn = new();

    private SslServerAuthenticationOptions? _options;
    private PeerCertificateValidation? _validation;

    public override string? ServerName => handshake.ServerName;

    public override string? Refusal => _validation?.Refusal;

    protected override IList<SslApplicationProtocol>? Protocols => _options?.ApplicationProtocols;

    public override void Begin(nint ssl) => LibSsl.SSL_set_accept_state(ssl);

    public override bool TryAcceptHello(nint ssl, ReadOnlySpan<byte> serverNames)
    {
        try
        {
            string? name = FindHostName(serverNames);
            handshake.OnHello(name);
            SslServerAuthenticationOptions options = select(name);
            if (TlsEngines.FindUnsupported(options) is string reason)
            {
                throw new NotSupportedException($"OpenSSL cannot perform this handshake: {reason}.");
            }

            OpenSslCertificate certificate = SelectCertificate(options, name);
            _ = LibSsl.SSL_set_SSL_CTX(ssl, certificate.Context);
            SetVersions(ssl, options.EnabledSslProtocols);
            SetCipherSuites(ssl, options.CipherSuitesPolicy);
            SetResumption(ssl, options, certificate);
            if (options.ClientCertificateRequired)
            {
                _validation = new(
                    options.CertificateChainPolicy, options.CertificateRevocationCheckMode, ExtendedKeyUsages.Client,
                    options.RemoteCertificateValidationCallback, sender);
                // Without a certificate a callback may accept the client; it is called after the handshake.
                bool mustHave = handshake.RequiresCertificate || options.RemoteCertificateValidationCallback is null;
                LibSsl.SSL_set_verify(ssl, LibSsl.VerifyPeer | (mustHave ? LibSsl.VerifyFailIfNoPeerCertificate : 0), 0);
            }

            _options = options;
            return true;
        }
        catch (Exception error)
        {
            Fail(error);
            return false;
        }
    }

    public override void ThrowIfRefused()
    {
        ThrowIfFailed();
        if (_validation is null)
        {
            return;
        }

        if (PeerCertificate is null && !_validation.JudgeMissing())
        {
            throw new AuthenticationException("The client sent no certificate.");
        }

        if (IsResumed && PeerCertificate is X509Certificate2 resumed && resumed.NotAfter < DateTime.Now)
        {
            _ = handshake.Reject(ConnectionCloseReason.TlsCertificateExpired, $"the client's certificate was valid to {resumed.NotAfter:u}");
            throw new AuthenticationException("The client's certificate has expired since the session that the client resumed.");
        }
    }

    /// <summary>Records that the client has sent none of the required certificates.</summary>
    public void RejectMissing() => _ = _validation?.JudgeMissing();

    public override int ProtectTicket(nint ssl, byte* name, byte* iv, nint cipher, nint mac, bool encrypts)
    {
        try
        {
            int result = tickets.Protect(name, iv, cipher, mac, encrypts, out bool isOld);
            if (encrypts || result != TicketKeys.Found || _options is { ClientCertificateRequired: true })
            {
                // A session with a client certificate is not prolonged: the certificate is judged again after the lifetime of one ticket.
                return result;
            }

            // A client of TLS 1.3 uses a ticket once.
            return isOld || LibSsl.SSL_version(ssl) == LibSsl.Tls13 ? TicketKeys.FoundAndRenews : result;
        }
        catch (Exception error)
        {
            Fail(error);
            return TicketKeys.Failed;
        }
    }

    protected override int Judge(X509Certificate2 leaf, X509Certificate2Collection others)
    {
        int error = _validation!.Judge(leaf, others, hasName: null);
        return error == 0 || handshake.Rejection != ConnectionCloseReason.TlsNameNotAllowed ? error : LibSsl.VerifyErrorApplication;
    }

    private OpenSslCertificate SelectCertificate(SslServerAuthenticationOptions options, string? name)
    {
        if (options.ServerCertificateContext is SslStreamCertificateContext context)
        {
            return OpenSslCertificate.Get(context);
        }

        X509Certificate? certificate = options.ServerCertificateSelectionCallback?.Invoke(sender, name ?? string.Empty) ?? options.ServerCertificate;
        return certificate is not null
            ? OpenSslCertificate.Get(certificate)
            : throw new NotSupportedException("The server has no certificate: set ServerCertificateContext, ServerCertificate or ServerCertificateSelectionCallback.");
    }

    /// <summary>A session is resumed only under the rules for clients and with the certificate of its first handshake.</summary>
    private void SetResumption(nint ssl, SslServerAuthenticationOptions options, OpenSslCertificate certificate)
    {
        if (!options.AllowTlsResume || handshake.ResumptionScope is not byte[] scope)
        {
            _ = LibSsl.SSL_set_options(ssl, LibSsl.OptionNoTicket);
            OpenSslLibrary.Check(LibSsl.SSL_set_num_tickets(ssl, 0));
            scope = [];
        }

        Span<byte> id = stackalloc byte[scope.Length + certificate.Id.Length];
        scope.CopyTo(id);
        certificate.Id.CopyTo(id[scope.Length..]);
        fixed (byte* start = id)
        {
            OpenSslLibrary.Check(LibSsl.SSL_set_session_id_context(ssl, start, (uint)id.Length));
        }
    }

    /// <summary>Returns the host name of the extension server_name (RFC 6066, 3), as Unicode; null for none. OpenSSL validates the extension later.</summary>
    private static string? FindHostName(ReadOnlySpan<byte> extension)
    {
        const int HostName = 0;
        const int HeaderLength = 5;
        if (extension.Length <= HeaderLength || extension[2] != HostName)
        {
            return null;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(extension[3..]);
        if (length == 0 || length > extension.Length - HeaderLength)
        {
            return null;
        }

        string name = Encoding.ASCII.GetString(extension.Slice(HeaderLength, length));
        try
        {
            return Idn.GetUnicode(name);
        }
        catch (ArgumentException)
        {
            return name;
        }
    }
}

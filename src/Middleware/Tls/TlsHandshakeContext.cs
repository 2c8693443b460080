using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>
/// One server handshake: the client's ClientHello, and why its certificate was rejected. The exception of a failed handshake has neither.
/// </summary>
internal sealed class TlsHandshakeContext
{
    /// <summary>The length of <see cref="ResumptionScope"/> in bytes.</summary>
    public const int ScopeLength = 16;

    private static readonly ConditionalWeakTable<SslServerAuthenticationOptions, byte[]> Scopes = [];

    /// <summary>Why the certificate was rejected; <c>None</c> if it was accepted or not checked.</summary>
    public ConnectionCloseReason Rejection { get; private set; }

    /// <summary>The rejection in words.</summary>
    public string? Explanation { get; private set; }

    /// <summary>
    /// Whether no ClientHello has been parsed. Any error until then is caused by the peer: SslStream parses the first bytes before it knows
    /// that they are a ClientHello, and reports a missing certificate if they are none.
    /// </summary>
    public bool IsAwaitingHello { get; private set; }

    /// <summary>The server name that the client sent (SNI); null if it sent none.</summary>
    public string? ServerName { get; private set; }

    /// <summary>Whether a client without a certificate is rejected in any case. OpenSSL then sends the alert certificate_required.</summary>
    public bool RequiresCertificate { get; set; }

    /// <summary>
    /// The rules for clients as an identity: a session is resumed only under the rules of its first handshake. Null if sessions are not resumed.
    /// </summary>
    public byte[]? ResumptionScope { get; set; }

    /// <summary>Why OpenSSL cannot perform this handshake; null if it can.</summary>
    public string? Unsupported { get; set; }

    public void AwaitHello() => IsAwaitingHello = true;

    public void OnHello(string? serverName) => (IsAwaitingHello, ServerName) = (false, serverName);

    /// <summary>Records a rejection. Returns false, the result of a certificate validation callback.</summary>
    public bool Reject(ConnectionCloseReason reason, string explanation)
    {
        (Rejection, Explanation) = (reason, explanation);
        return false;
    }

    /// <summary>Records the rejection of a missing certificate or of a chain with errors. Returns false.</summary>
    public bool Reject(X509Certificate? certificate, X509Chain? chain)
    {
        if (certificate is not X509Certificate2 client)
        {
            return Reject(ConnectionCloseReason.TlsCertificateMissing, "the client sent no certificate");
        }

        X509ChainStatusFlags status = chain?.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, one) => all | one.Status) ?? X509ChainStatusFlags.NoError;
        return status == X509ChainStatusFlags.NotTimeValid
            ? Reject(ConnectionCloseReason.TlsCertificateExpired, $"the client's certificate is valid from {client.NotBefore:u} to {client.NotAfter:u}")
            : Reject(ConnectionCloseReason.TlsCertificateUntrusted, $"the client's certificate is not trusted ({status})");
    }

    /// <summary>
    /// Wraps the caller's options. If they require a certificate, a copy of them validates it in the same way and records a rejection.
    /// </summary>
    public TlsServerSelection Observe(SslServerAuthenticationOptions options)
    {
        // Their callback may judge each connection anew: sessions with client certificates are not resumed.
        ResumptionScope = options.ClientCertificateRequired ? null : Scopes.GetValue(options, static _ => RandomNumberGenerator.GetBytes(ScopeLength));
        Unsupported = TlsEngines.FindUnsupported(options);
        return _ =>
        {
            if (!options.ClientCertificateRequired)
            {
                return options;
            }

            SslServerAuthenticationOptions observed = TlsOptionsCopy.From(options);
            observed.RemoteCertificateValidationCallback = Validate(options.RemoteCertificateValidationCallback);
            return observed;
        };
    }

    /// <summary>Without a callback SslStream accepts a certificate without errors, and nothing else.</summary>
    private RemoteCertificateValidationCallback Validate(RemoteCertificateValidationCallback? callback)
    {
        RequiresCertificate = callback is null;
        return (sender, certificate, chain, errors) =>
            (callback is null ? errors == SslPolicyErrors.None : callback(sender, certificate, chain, errors))
            || (errors != SslPolicyErrors.None && Reject(certificate, chain));
    }
}

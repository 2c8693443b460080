using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>
/// One server handshake: the client's ClientHello, and why its certificate was rejected. The exception of a failed handshake has neither.
/// </summary>
internal sealed class TlsHandshakeContext
{
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

    public void AwaitHello() => IsAwaitingHello = true;

    public void OnHello(SslClientHelloInfo hello)
    {
        IsAwaitingHello = false;
        ServerName = string.IsNullOrEmpty(hello.ServerName) ? null : hello.ServerName;
    }

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
    /// Wraps the caller's options for SslStream. If they require a certificate, a copy of them validates it in the same way and records
    /// a rejection.
    /// </summary>
    public ServerOptionsSelectionCallback Observe(SslServerAuthenticationOptions options)
    {
        AwaitHello();
        return (_, hello, _, _) =>
        {
            OnHello(hello);
            if (!options.ClientCertificateRequired)
            {
                return new(options);
            }

            SslServerAuthenticationOptions observed = TlsOptionsCopy.From(options);
            observed.RemoteCertificateValidationCallback = Validate(options.RemoteCertificateValidationCallback);
            return new(observed);
        };
    }

    /// <summary>Without a callback SslStream accepts a certificate without errors, and nothing else.</summary>
    private RemoteCertificateValidationCallback Validate(RemoteCertificateValidationCallback? callback) => (sender, certificate, chain, errors) =>
        (callback is null ? errors == SslPolicyErrors.None : callback(sender, certificate, chain, errors))
        || (errors != SslPolicyErrors.None && Reject(certificate, chain));
}

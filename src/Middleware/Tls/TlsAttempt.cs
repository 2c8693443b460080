using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>One handshake: what was found wrong with the client's certificate, which the error of a failed handshake does not say.</summary>
internal sealed class TlsAttempt
{
    /// <summary>Why the certificate was not taken; none where it was, or there was none to look at.</summary>
    public ConnectionEndReason Verdict { get; private set; }

    /// <summary>The same in words.</summary>
    public string? Explanation { get; private set; }

    /// <summary>
    /// Whether the peer has yet to send a ClientHello. What goes wrong until then is its doing: SslStream parses what comes before it
    /// knows that it is one, and misses its certificate where it is none.
    /// </summary>
    public bool IsAwaitingHello { get; private set; }

    /// <summary>The name that the client asked for, as it sent it; null where it asked for none.</summary>
    public string? ServerName { get; private set; }

    /// <summary>The handshake begins.</summary>
    public void AwaitHello() => IsAwaitingHello = true;

    /// <summary>The ClientHello has come.</summary>
    public void OnHello(SslClientHelloInfo hello)
    {
        IsAwaitingHello = false;
        ServerName = string.IsNullOrEmpty(hello.ServerName) ? null : hello.ServerName;
    }

    public bool Refuse(ConnectionEndReason verdict, string explanation)
    {
        (Verdict, Explanation) = (verdict, explanation);
        return false;
    }

    /// <summary>Refuses a client without a certificate, or one whose chain has errors.</summary>
    public bool Refuse(X509Certificate? certificate, X509Chain? chain)
    {
        if (certificate is not X509Certificate2 client)
        {
            return Refuse(ConnectionEndReason.TlsCertificateMissing, "the client has shown no certificate");
        }

        X509ChainStatusFlags status = chain?.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, one) => all | one.Status) ?? X509ChainStatusFlags.NoError;
        return status == X509ChainStatusFlags.NotTimeValid
            ? Refuse(ConnectionEndReason.TlsCertificateExpired, $"the client's certificate is valid from {client.NotBefore:u} to {client.NotAfter:u}")
            : Refuse(ConnectionEndReason.TlsCertificateUntrusted, $"the client's certificate is not trusted ({status})");
    }

    /// <summary>
    /// The caller's options as SslStream asks for them when it has read the ClientHello; where a certificate is asked for, a copy that
    /// judges it as they do and notes what was wrong.
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
            observed.RemoteCertificateValidationCallback = Judge(options.RemoteCertificateValidationCallback);
            return new(observed);
        };
    }

    /// <summary>Without a callback SslStream accepts a certificate that has no errors, and nothing else.</summary>
    private RemoteCertificateValidationCallback Judge(RemoteCertificateValidationCallback? callback) => (sender, certificate, chain, errors) =>
        (callback is null ? errors == SslPolicyErrors.None : callback(sender, certificate, chain, errors))
        || (errors != SslPolicyErrors.None && Refuse(certificate, chain));
}

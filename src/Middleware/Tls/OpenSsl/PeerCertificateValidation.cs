using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// Judges a peer's certificate as SslStream does: a chain of .NET under the policy of the options, the name, then the callback of the options.
/// </summary>
/// <param name="policy">The policy of the options; null for the system's trusted roots.</param>
/// <param name="revocation">The revocation check, if there is no policy.</param>
/// <param name="usage">The extended key usage that the certificate must have (RFC 5280, 4.2.1.12), unless the policy has one.</param>
/// <param name="callback">The callback of the options; null accepts a certificate without errors only.</param>
/// <param name="sender">The first argument of the callback.</param>
internal sealed class PeerCertificateValidation(
    X509ChainPolicy? policy, X509RevocationMode revocation, Oid usage, RemoteCertificateValidationCallback? callback, object sender)
{
    /// <summary>Why the certificate was refused; null if it was not.</summary>
    public string? Refusal { get; private set; }

    /// <summary>Judges a certificate.</summary>
    /// <param name="leaf">The certificate.</param>
    /// <param name="others">The other certificates that the peer sent.</param>
    /// <param name="hasName">Returns whether the certificate has the expected name; null if any name is accepted.</param>
    /// <returns>Zero, or OpenSSL's verification error.</returns>
    public int Judge(X509Certificate2 leaf, X509Certificate2Collection others, Func<X509Certificate2, bool>? hasName)
    {
        using var chain = new X509Chain { ChainPolicy = CreatePolicy(others) };
        SslPolicyErrors errors = chain.Build(leaf) ? SslPolicyErrors.None : SslPolicyErrors.RemoteCertificateChainErrors;
        if (hasName is not null && !hasName(leaf))
        {
            errors |= SslPolicyErrors.RemoteCertificateNameMismatch;
        }

        try
        {
            if (callback is null ? errors == SslPolicyErrors.None : callback(sender, leaf, chain, errors))
            {
                return 0;
            }

            X509ChainStatusFlags status = chain.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, static (all, one) => all | one.Status);
            Refusal = errors == SslPolicyErrors.None ? "the application refused it"
                : status == X509ChainStatusFlags.NoError ? errors.ToString()
                : $"{errors}: {status}";
            return GetVerifyError(errors, status);
        }
        finally
        {
            foreach (X509ChainElement element in chain.ChainElements)
            {
                if (!ReferenceEquals(element.Certificate, leaf))
                {
                    element.Certificate.Dispose();
                }
            }
        }
    }

    /// <summary>Judges the absence of a certificate. Returns whether it is accepted.</summary>
    public bool JudgeMissing()
    {
        bool isAccepted = callback is not null && callback(sender, null, null, SslPolicyErrors.RemoteCertificateNotAvailable);
        Refusal = isAccepted ? null : nameof(SslPolicyErrors.RemoteCertificateNotAvailable);
        return isAccepted;
    }

    private static int GetVerifyError(SslPolicyErrors errors, X509ChainStatusFlags status) =>
        (status & X509ChainStatusFlags.Revoked) != 0 ? LibSsl.VerifyErrorRevoked
        : (status & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != 0 ? LibSsl.VerifyErrorUnknownAuthority
        : (status & X509ChainStatusFlags.NotTimeValid) != 0 ? LibSsl.VerifyErrorExpired
        : (errors & SslPolicyErrors.RemoteCertificateChainErrors) != 0 ? LibSsl.VerifyErrorRejected
        : (errors & SslPolicyErrors.RemoteCertificateNameMismatch) != 0 ? LibSsl.VerifyErrorHostName
        : LibSsl.VerifyErrorApplication;

    private X509ChainPolicy CreatePolicy(X509Certificate2Collection others)
    {
        X509ChainPolicy used = policy?.Clone() ?? new X509ChainPolicy { RevocationMode = revocation, RevocationFlag = X509RevocationFlag.ExcludeRoot };
        if (used.ApplicationPolicy.Count == 0)
        {
            _ = used.ApplicationPolicy.Add(usage);
        }

        used.ExtraStore.AddRange(others);
        return used;
    }
}

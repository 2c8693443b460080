using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;

namespace ByteStreams;

/// <summary>The location of a certificate and its private key: PEM files, a PFX file, or the system's store.</summary>
public sealed class TlsCertificateOptions
{
    /// <summary>
    /// The certificate's file: PEM with the certificate and its intermediates in any order, or PFX (PKCS #12); the format is detected. The key
    /// must be RSA or ECDSA (P-256, P-384, P-521), because .NET does not support Ed25519. A certificate outside of its validity period is used, with
    /// a warning in the log.
    /// </summary>
    public string? Path { get; set; }

    /// <summary>The PEM file of the private key; the certificate's file by default.</summary>
    public string? KeyPath { get; set; }

    /// <summary>The password of the key or of the PFX file. None by default.</summary>
    public string? Password { get; set; }

    /// <summary>The name of the system's certificate store, such as <c>My</c>, instead of a file.</summary>
    public string? Store { get; set; }

    /// <summary>The location of the store: <c>CurrentUser</c> (the default) or <c>LocalMachine</c>.</summary>
    public StoreLocation StoreLocation { get; set; } = StoreLocation.CurrentUser;

    /// <summary>Text that the subject of the certificate in the store contains. Of several matches the one that expires last is used.</summary>
    public string? Subject { get; set; }

    /// <summary>The thumbprint of the certificate in the store, instead of the subject.</summary>
    public string? Thumbprint { get; set; }

    /// <summary>The host names for which the certificate is used; <c>*.</c> matches one label. The certificate's own names if the list is empty.</summary>
    public IList<string> Hosts { get; } = [];

    /// <summary>Whether the certificate is used for clients that request no name (SNI), or a name that no certificate has.</summary>
    public bool Default { get; set; }

    /// <summary>Returns the validation errors.</summary>
    internal IEnumerable<string> GetErrors()
    {
        if ((Path is null) == (Store is null))
        {
            yield return "set either Path or Store.";
        }

        if (Store is not null && (Subject is null) == (Thumbprint is null))
        {
            yield return "Store requires either Subject or Thumbprint.";
        }

        if (Store is not null && (KeyPath is not null || Password is not null))
        {
            yield return "KeyPath and Password apply to Path only; Store contains the key.";
        }

        foreach (string host in Hosts.Where(static host => !HostNames.IsValid(host)))
        {
            yield return $"Hosts: '{host}' is not a host name, so no client requests it. Write the name only, with *. in front to match one label.";
        }
    }
}

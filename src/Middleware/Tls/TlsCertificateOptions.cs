using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;

namespace ByteStreams;

/// <summary>Where a certificate and its key are: a pair of PEM files, one PFX file, or the system's store.</summary>
public sealed class TlsCertificateOptions
{
    /// <summary>
    /// The file: PEM with the certificate and those between it and its authority, in any order, or PFX (PKCS #12), told apart by what is in it.
    /// Its key is RSA or ECDSA (P-256, P-384, P-521): .NET does not support Ed25519. A certificate that has expired or is not valid yet is
    /// served, with a warning in the log.
    /// </summary>
    public string? Path { get; set; }

    /// <summary>The PEM file of the private key; that of the certificate where it is left out.</summary>
    public string? KeyPath { get; set; }

    /// <summary>The password of the key or of the PFX file. None by default.</summary>
    public string? Password { get; set; }

    /// <summary>The system's store to look in, such as <c>My</c>, in place of a file.</summary>
    public string? Store { get; set; }

    /// <summary>Whose store: <c>CurrentUser</c> by default, or <c>LocalMachine</c>.</summary>
    public StoreLocation StoreLocation { get; set; } = StoreLocation.CurrentUser;

    /// <summary>What the subject in the store contains; of several valid ones that which expires last is taken.</summary>
    public string? Subject { get; set; }

    /// <summary>The thumbprint in the store, in place of the subject.</summary>
    public string? Thumbprint { get; set; }

    /// <summary>The names that it serves, with <c>*.</c> for one label; the certificate's own names where the list is empty.</summary>
    public IList<string> Hosts { get; } = [];

    /// <summary>Whether it serves clients that ask for no name, or for one that no certificate has.</summary>
    public bool Default { get; set; }

    /// <summary>What is wrong.</summary>
    internal IEnumerable<string> Mistakes()
    {
        if ((Path is null) == (Store is null))
        {
            yield return "it has a Path or a Store, and not both.";
        }

        if (Store is not null && (Subject is null) == (Thumbprint is null))
        {
            yield return "a Store needs a Subject or a Thumbprint to look for, and not both.";
        }

        if (Store is not null && (KeyPath is not null || Password is not null))
        {
            yield return "KeyPath and Password belong to a Path; the Store has the key.";
        }

        foreach (string host in Hosts.Where(static host => !HostNames.IsName(host)))
        {
            yield return $"Hosts: '{host}' is no host name, and no client can ask for it. Write the name alone, with *. in front for one label.";
        }
    }
}

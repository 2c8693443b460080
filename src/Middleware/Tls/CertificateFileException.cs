using System.Security.Cryptography;

namespace ByteStreams.Tls;

/// <summary>A certificate or key file cannot be used. The message has the cause and the remedy.</summary>
internal sealed class CertificateFileException : CryptographicException
{
    public CertificateFileException(string message)
        : base(message)
    {
    }

    public CertificateFileException(string message, Exception cause)
        : base(message, cause)
    {
    }
}

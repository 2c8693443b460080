using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ByteStreams.Tls;

/// <summary>
/// The blocks of a PEM file (RFC 7468). .NET's readers skip malformed and unknown blocks, and blocks after a byte order mark; this parser
/// returns or reports each block.
/// </summary>
internal sealed class PemText
{
    public const string Certificate = "CERTIFICATE";
    public const string RevocationList = "X509 CRL";
    public const string TrustedCertificate = "TRUSTED CERTIFICATE";
    public const string Pkcs7 = "PKCS7";
    public const string Key = "PRIVATE KEY";
    public const string EncryptedKey = "ENCRYPTED PRIVATE KEY";
    public const string RsaKey = "RSA PRIVATE KEY";
    public const string EcKey = "EC PRIVATE KEY";

    private const string Begin = "-----BEGIN ";

    private PemText(string text)
    {
        var blocks = new List<Block>();
        int from = 0;
        while (PemEncoding.TryFind(text.AsSpan(from), out PemFields found))
        {
            (int start, int length) = found.Location.GetOffsetAndLength(text.Length - from);
            FindMalformed(text, from, from + start);
            blocks.Add(new Block(text[from..][found.Label], Decode(text.AsSpan(from)[found.Base64Data], found.DecodedDataLength)));
            from += start + length;
        }

        FindMalformed(text, from, text.Length);
        Text = text;
        Blocks = blocks;
    }

    public string Text { get; }

    public IReadOnlyList<Block> Blocks { get; }

    /// <summary>The label and line number of the first malformed block; null if there is none.</summary>
    public (string Label, int Line)? Malformed { get; private set; }

    /// <summary>Whether a private key uses the encryption of OpenSSL before 1.0, which has headers within the block.</summary>
    public bool HasTraditionalEncryption { get; private set; }

    /// <summary>Parses a file in UTF-8 or UTF-16, with or without a byte order mark. Returns null if it contains no block.</summary>
    public static PemText? TryParse(byte[] file)
    {
        bool isUtf16 = file is [0xFF, 0xFE, ..] or [0xFE, 0xFF, ..];
        if (!isUtf16 && file.AsSpan().IndexOf("-----BEGIN "u8) < 0)
        {
            return null;
        }

        using var reader = new StreamReader(new MemoryStream(file), Encoding.UTF8, detectEncodingFromByteOrderMarks: true);
        string text = reader.ReadToEnd();
        return text.Contains(Begin, StringComparison.Ordinal) ? new PemText(text) : null;
    }

    public bool Has(string label) => Blocks.Any(block => block.Label == label);

    /// <summary>Loads the certificates in their order.</summary>
    /// <exception cref="CertificateFileException">A certificate cannot be decoded.</exception>
    public X509Certificate2Collection LoadCertificates()
    {
        if (Malformed is (Certificate, int line))
        {
            throw new CertificateFileException($"the certificate that begins in line {line} is truncated or damaged. Copy the file again.");
        }

        X509Certificate2Collection certificates = [];
        foreach (Block block in Blocks.Where(block => block.Label == Certificate))
        {
            try
            {
                certificates.Add(X509CertificateLoader.LoadCertificate(block.Data));
            }
            catch (CryptographicException damaged)
            {
                throw new CertificateFileException($"certificate number {certificates.Count + 1} of the file is damaged ({damaged.Message}). Copy the file again.", damaged);
            }
        }

        return certificates;
    }

    private static byte[] Decode(ReadOnlySpan<char> base64, int length)
    {
        var data = new byte[length];
        return Convert.TryFromBase64Chars(base64, data, out int written) && written == length
            ? data
            : throw new InvalidOperationException("PemEncoding found a block that is not base64.");
    }

    private void FindMalformed(string text, int from, int to)
    {
        for (int at = text.IndexOf(Begin, from, to - from, StringComparison.Ordinal); at >= 0 && at < to; at = Next(at))
        {
            int end = text.IndexOf("-----", at + Begin.Length, StringComparison.Ordinal);
            string label = end < 0 ? string.Empty : text[(at + Begin.Length)..end];
            if (end >= 0 && text.AsSpan(end + 5).TrimStart().StartsWith("Proc-Type: 4,ENCRYPTED", StringComparison.Ordinal))
            {
                HasTraditionalEncryption = true;
            }
            else
            {
                Malformed ??= (label, text.AsSpan(0, at).Count('\n') + 1);
            }
        }

        int Next(int at) => text.IndexOf(Begin, at + 1, to - at - 1, StringComparison.Ordinal);
    }

    /// <param name="Label">Such as <see cref="Certificate"/>.</param>
    /// <param name="Data">The decoded contents (DER).</param>
    internal sealed record Block(string Label, byte[] Data)
    {
        public bool IsKey => Label is Key or EncryptedKey or RsaKey or EcKey;
    }
}

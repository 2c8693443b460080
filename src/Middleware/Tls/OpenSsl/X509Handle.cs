using System.Runtime.InteropServices;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>Owns an X509.</summary>
internal sealed class X509Handle() : SafeHandle(0, ownsHandle: true)
{
    public override bool IsInvalid => handle == 0;

    /// <summary>Parses a certificate.</summary>
    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL cannot parse it.</exception>
    public static unsafe X509Handle Parse(ReadOnlySpan<byte> der)
    {
        fixed (byte* data = der)
        {
            byte* cursor = data;
            X509Handle parsed = LibSsl.d2i_X509(0, &cursor, der.Length);
            return parsed.IsInvalid ? throw OpenSslError.ToException("OpenSSL cannot parse a certificate") : parsed;
        }
    }

    /// <summary>Returns the DER encoding of an X509 that OpenSSL owns.</summary>
    public static unsafe byte[] Encode(nint certificate) => Encode(certificate, &LibSsl.i2d_X509);

    /// <summary>Returns the DER encoding of an X509_NAME that OpenSSL owns.</summary>
    public static unsafe byte[] EncodeName(nint name) => Encode(name, &LibSsl.i2d_X509_NAME);

    protected override bool ReleaseHandle()
    {
        LibSsl.X509_free(handle);
        return true;
    }

    private static unsafe byte[] Encode(nint value, delegate*<nint, byte**, int> encode)
    {
        int length = encode(value, null);
        if (length <= 0)
        {
            throw OpenSslError.ToException("OpenSSL cannot encode a certificate or name of the peer");
        }

        byte[] der = new byte[length];
        fixed (byte* data = der)
        {
            byte* cursor = data;
            _ = encode(value, &cursor);
        }

        return der;
    }
}

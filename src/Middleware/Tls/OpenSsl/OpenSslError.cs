using System.Security.Authentication;
using System.Text;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>The error queue of OpenSSL, which each thread has one of.</summary>
/// <param name="Code">The oldest error; 0 for none.</param>
/// <param name="Text">The error in OpenSSL's words, such as <c>error:0A000418:SSL routines::tlsv1 alert unknown ca</c>.</param>
internal readonly record struct OpenSslError(ulong Code, string Text)
{
    private const int LongestText = 256;

    /// <summary>The reason within its library.</summary>
    public int Reason => (int)(Code & 0x7FFFFF);

    /// <summary>Takes the oldest error of this thread, and drops the rest.</summary>
    public static unsafe OpenSslError Take()
    {
        ulong code = LibSsl.ERR_get_error();
        LibSsl.ERR_clear_error();
        if (code == 0)
        {
            return new OpenSslError(0, "OpenSSL reported no error");
        }

        byte* text = stackalloc byte[LongestText];
        LibSsl.ERR_error_string_n(code, text, LongestText);
        var bytes = new ReadOnlySpan<byte>(text, LongestText);
        return new OpenSslError(code, Encoding.ASCII.GetString(bytes[..Math.Max(0, bytes.IndexOf((byte)0))]));
    }

    /// <summary>Creates an exception of the thread's oldest error.</summary>
    public static AuthenticationException ToException(string what) => new($"{what}: {Take().Text}");
}

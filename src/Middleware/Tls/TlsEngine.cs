using System.Net.Security;

namespace ByteStreams;

/// <summary>The implementation of TLS. The contract and the trust decisions are the same with each: .NET builds and judges the chain.</summary>
/// <remarks>
/// On <see cref="OpenSsl"/> there is no <see cref="System.Net.Security.SslStream"/>: the callbacks of the options get the connection
/// (<see cref="Microsoft.AspNetCore.Connections.ConnectionContext"/>) as their sender, and <see cref="ByteStreamWriter.SslStream"/> is null. A
/// certificate is judged within the handshake, so that a rejected peer gets an alert. Renegotiation (TLS 1.2) is always refused, and the cipher
/// suites of TLS 1.2 are those with ECDHE and AEAD unless the options have a <see cref="CipherSuitesPolicy"/>.
/// </remarks>
public enum TlsEngine
{
    /// <summary>
    /// <see cref="OpenSsl"/> where it can be loaded and supports the options of the handshake, otherwise <see cref="SslStream"/>. The environment
    /// variable <c>BYTESTREAMS_TLS_ENGINE</c> decides for the whole process: <c>sslstream</c> for <see cref="SslStream"/> only; with <c>openssl</c>,
    /// a process in which OpenSSL cannot be loaded fails.
    /// </summary>
    Auto,

    /// <summary>
    /// OpenSSL 3 (libssl.so.3) without SslStream, on Linux on 64-bit machines: less CPU time and memory (docs/performance.md). Where it cannot be loaded, or
    /// an option is not supported (<c>StapleOcsp</c>, <see cref="EncryptionPolicy"/> without encryption, RSA padding), the handshake fails with
    /// <see cref="PlatformNotSupportedException"/>.
    /// </summary>
    OpenSsl,

    /// <summary>.NET's <see cref="System.Net.Security.SslStream"/>, on every platform.</summary>
    SslStream,
}

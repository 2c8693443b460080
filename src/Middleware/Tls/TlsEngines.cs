using System.Net.Security;
using ByteStreams.Tls.OpenSsl;

namespace ByteStreams.Tls;

/// <summary>Resolves the engine of a handshake.</summary>
internal static class TlsEngines
{
    /// <summary>The environment variable that sets what <see cref="TlsEngine.Auto"/> is: <c>openssl</c> or <c>sslstream</c>.</summary>
    private const string Variable = "BYTESTREAMS_TLS_ENGINE";

    /// <summary>SslStream trusts the <see cref="SslCertificateTrust"/> of a certificate context, which has no public property.</summary>
    private const string HiddenTrust = "the certificate context may restrict trust, and CertificateChainPolicy is null; set CertificateChainPolicy";

    /// <summary>Whether <see cref="TlsEngine.Auto"/> is OpenSSL in this process, where that can be used.</summary>
    private static readonly bool PrefersOpenSsl = Environment.GetEnvironmentVariable(Variable)?.ToUpperInvariant() switch
    {
        "OPENSSL" => OpenSslLibrary.Missing is null ? true
            : throw new InvalidOperationException($"{Variable} is 'openssl', and OpenSSL cannot be used: {OpenSslLibrary.Missing}."),
        null or "" => true,
        "SSLSTREAM" => false,
        string other => throw new InvalidOperationException($"{Variable} is '{other}'; it is openssl or sslstream, or absent."),
    };

    /// <summary>Returns whether OpenSSL performs a handshake.</summary>
    /// <param name="engine">The engine of the connection's options.</param>
    /// <param name="unsupported">Why OpenSSL cannot perform this handshake; null if it can. Called only if it matters.</param>
    /// <exception cref="PlatformNotSupportedException">The engine is OpenSSL, and it cannot be used.</exception>
    public static bool UsesOpenSsl(TlsEngine engine, Func<string?> unsupported)
    {
        if (engine == TlsEngine.SslStream || (engine == TlsEngine.Auto && !PrefersOpenSsl))
        {
            return false;
        }

        string? reason = OpenSslLibrary.Missing ?? unsupported();
        return reason is null
            || (engine == TlsEngine.Auto ? false
                : throw new PlatformNotSupportedException($"TlsEngine is OpenSsl, which cannot be used: {reason}. Set it to Auto or SslStream."));
    }

    /// <summary>Returns why OpenSSL cannot perform a handshake with these options; null if it can.</summary>
    public static string? FindUnsupported(SslServerAuthenticationOptions options) =>
        options.ClientCertificateRequired && options is { CertificateChainPolicy: null, ServerCertificateContext: not null } ? HiddenTrust
        : FindUnsupported(options.EncryptionPolicy, OperatingSystem.IsLinux() && !(options.AllowRsaPkcs1Padding && options.AllowRsaPssPadding));

    /// <inheritdoc cref="FindUnsupported(SslServerAuthenticationOptions)"/>
    public static string? FindUnsupported(SslClientAuthenticationOptions options) =>
        options is { CertificateChainPolicy: null, ClientCertificateContext: not null } ? HiddenTrust
        : FindUnsupported(options.EncryptionPolicy, OperatingSystem.IsLinux() && !(options.AllowRsaPkcs1Padding && options.AllowRsaPssPadding));

    private static string? FindUnsupported(EncryptionPolicy policy, bool restrictsPadding) =>
        policy != EncryptionPolicy.RequireEncryption ? "the EncryptionPolicy allows connections without encryption"
        : restrictsPadding ? "AllowRsaPkcs1Padding or AllowRsaPssPadding is false"
        : null;
}
